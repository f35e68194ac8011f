//! The arithmetic of an order. Pure and exact.

use crate::check::{AMOUNT_MAX, QUANTITY_MAX};
use crate::command::{OrderLineValue, PutOrder};
use crate::error::OltpError;
use model::Decimal;
use rust_decimal::RoundingStrategy;
use rust_decimal::prelude::ToPrimitive;

/// Sums of an order over the lines that count.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) units: Decimal,
    pub(crate) gross: i64,
    pub(crate) discount: i64,
    pub(crate) tax: i64,
    pub(crate) net: i64,
    pub(crate) total: i64,
}

/// The extended amount of a line: as given, else quantity × unit price, rounded half away from zero.
pub(crate) fn line_gross(line: &OrderLineValue) -> Option<i64> {
    let gross = match (line.gross_minor, line.unit_price_minor) {
        (Some(gross), _) => gross,
        (None, Some(price)) => line
            .quantity
            .checked_mul(Decimal::from(price))?
            .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero)
            .to_i64()?,
        (None, None) => return None,
    };
    (gross <= AMOUNT_MAX).then_some(gross)
}

/// Sums up a checked order. Voided lines count for nothing.
pub(crate) fn sums(order: &PutOrder) -> Result<Sums, OltpError> {
    let mut sums = Sums { units: Decimal::ZERO, gross: 0, discount: 0, tax: 0, net: 0, total: 0 };
    for (i, line) in order.lines.iter().enumerate() {
        let at = |field: &str| format!("/lines/{i}/{field}");
        let gross = line_gross(line).ok_or_else(|| {
            let detail = format!("quantity × unit price is more than {AMOUNT_MAX} minor units");
            OltpError::invalid("oltp.out_of_range", at("unit_price_minor"), detail)
        })?;
        if line.discount_minor > gross {
            let detail = format!("a discount of {} is more than the line's {gross}", line.discount_minor);
            return Err(OltpError::invalid("oltp.discount_over_gross", at("discount_minor"), detail));
        }
        if !line.voided {
            // At most 1,000 lines of at most 1e15 each: no overflow.
            sums.units += line.quantity;
            sums.gross += gross;
            sums.discount += line.discount_minor;
            sums.tax += line.tax_minor;
        }
    }
    if sums.units > Decimal::from(QUANTITY_MAX) {
        let detail = format!("all lines together have more than {QUANTITY_MAX} units");
        return Err(OltpError::invalid("oltp.out_of_range", "/lines", detail));
    }
    sums.net = sums.gross - sums.discount;
    sums.total = sums.net + sums.tax + order.shipping_minor;
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(quantity: &str, price: Option<i64>, gross: Option<i64>) -> OrderLineValue {
        OrderLineValue {
            line_no: 1,
            sku_code: "s".to_owned(),
            quantity: quantity.parse().unwrap(),
            unit_price_minor: price,
            gross_minor: gross,
            discount_minor: 0,
            tax_minor: 0,
            voided: false,
            description: None,
        }
    }

    #[test]
    fn extended_amounts_round_half_away_from_zero() {
        assert_eq!(line_gross(&line("0.5", Some(5), None)), Some(3));
        assert_eq!(line_gross(&line("1.2345", Some(199), None)), Some(246));
        assert_eq!(line_gross(&line("3", Some(199), Some(500))), Some(500));
        assert_eq!(line_gross(&line("1000000000000", Some(AMOUNT_MAX), None)), None);
        assert_eq!(line_gross(&line("1", None, None)), None);
    }

    #[test]
    fn voided_lines_count_for_nothing() {
        let mut void = line("4", Some(100), None);
        (void.line_no, void.voided) = (2, true);
        let mut sold = line("2", Some(150), None);
        (sold.discount_minor, sold.tax_minor) = (50, 19);
        let order = PutOrder { lines: vec![sold, void], shipping_minor: 5, ..PutOrder::default() };
        let sums = sums(&order).unwrap();
        assert_eq!((sums.units, sums.gross, sums.discount, sums.net, sums.total), (Decimal::TWO, 300, 50, 250, 274));
    }

    #[test]
    fn no_discount_is_more_than_its_line() {
        let mut sold = line("1", Some(100), None);
        sold.discount_minor = 101;
        let order = PutOrder { lines: vec![sold], ..PutOrder::default() };
        assert_eq!(sums(&order).unwrap_err().pointer(), Some("/lines/0/discount_minor"));
    }
}
