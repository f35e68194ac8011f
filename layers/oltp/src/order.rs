//! The arithmetic of an order. Pure and exact.

use crate::check::{AMOUNT_MAX, QUANTITY_MAX};
use crate::command::{OrderLineValue, PutOrder};
use crate::error::OltpError;
use model::Decimal;
use rust_decimal::RoundingStrategy;
use rust_decimal::prelude::ToPrimitive;

/// A line with its share of what the order has as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LineAmounts {
    pub(crate) gross: i64,
    /// All discounts, those of the order included.
    pub(crate) discount: i64,
    /// Its share of the order's discount.
    pub(crate) order_discount: i64,
    /// All taxes, those of the order included.
    pub(crate) tax: i64,
    /// What is left without discounts and taxes.
    pub(crate) net: i64,
}

/// An order's lines in amounts, and their sums over the lines that count.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) lines: Vec<LineAmounts>,
    /// Units of goods.
    pub(crate) units: Decimal,
    /// Units of goods that were handed over, if any line says so.
    pub(crate) fulfilled: Option<Decimal>,
    pub(crate) gross: i64,
    pub(crate) discount: i64,
    pub(crate) tax: i64,
    pub(crate) net: i64,
    pub(crate) total: i64,
    /// What was taken by payments; none where no payment is known.
    pub(crate) paid: Option<i64>,
}

/// Quantity × unit price, rounded half away from zero; none where it is out of range.
pub(crate) fn extended(quantity: Decimal, price: i64) -> Option<i64> {
    let amount = quantity.checked_mul(Decimal::from(price))?;
    let amount = amount.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i64()?;
    (amount <= AMOUNT_MAX).then_some(amount)
}

/// The extended amount of a line: as given, else quantity × unit price, rounded half away from zero.
pub(crate) fn line_gross(line: &OrderLineValue) -> Option<i64> {
    let gross = match (line.gross_minor, line.unit_price_minor) {
        (Some(gross), _) => gross,
        (None, Some(price)) => extended(line.quantity, price)?,
        (None, None) => return None,
    };
    (gross <= AMOUNT_MAX).then_some(gross)
}

/// Sums up a checked order. Voided lines count for nothing.
pub(crate) fn sums(order: &PutOrder) -> Result<Sums, OltpError> {
    let mut lines = order.lines.iter().enumerate().map(|(i, line)| amounts(i, line)).collect::<Result<Vec<_>, _>>()?;
    share(order, &mut lines)?;
    let mut sums = Sums {
        lines: Vec::new(),
        units: Decimal::ZERO,
        fulfilled: None,
        gross: 0,
        discount: 0,
        tax: 0,
        net: 0,
        total: 0,
        paid: paid(order),
    };
    for (i, (line, amounts)) in order.lines.iter().zip(&mut lines).enumerate() {
        let included = if order.tax_included { amounts.tax } else { 0 };
        amounts.net = amounts.gross - amounts.discount - included;
        if amounts.net < 0 {
            let detail = "the tax that is included is more than the line costs";
            return Err(OltpError::invalid("oltp.out_of_range", format!("/lines/{i}/tax_minor"), detail));
        }
        if line.voided {
            continue;
        }
        // At most 1,000 lines of at most 1e15 each: no overflow.
        sums.gross += amounts.gross;
        sums.discount += amounts.discount;
        sums.tax += amounts.tax;
        sums.net += amounts.net;
        if line.is_goods() {
            sums.units += line.quantity;
            if let Some(fulfilled) = line.fulfilled_quantity {
                sums.fulfilled = Some(sums.fulfilled.unwrap_or_default() + fulfilled);
            }
        }
    }
    if sums.units > Decimal::from(QUANTITY_MAX) {
        let detail = format!("all lines together have more than {QUANTITY_MAX} units");
        return Err(OltpError::invalid("oltp.out_of_range", "/lines", detail));
    }
    sums.total = sums.net + sums.tax + order.shipping_minor;
    sums.lines = lines;
    Ok(sums)
}

/// A line by itself.
fn amounts(i: usize, line: &OrderLineValue) -> Result<LineAmounts, OltpError> {
    let at = |field: &str| format!("/lines/{i}/{field}");
    let gross = line_gross(line).ok_or_else(|| {
        let detail = format!("quantity × unit price is more than {AMOUNT_MAX} minor units");
        OltpError::invalid("oltp.out_of_range", at("unit_price_minor"), detail)
    })?;
    if line.discount_minor > gross {
        let detail = format!("a discount of {} is more than the line's {gross}", line.discount_minor);
        return Err(OltpError::invalid("oltp.discount_over_gross", at("discount_minor"), detail));
    }
    Ok(LineAmounts { gross, discount: line.discount_minor, tax: line.tax_minor, ..LineAmounts::default() })
}

/// Gives the lines that count their shares of the order's discount and tax, by what each costs.
fn share(order: &PutOrder, lines: &mut [LineAmounts]) -> Result<(), OltpError> {
    if order.order_discount_minor == 0 && order.order_tax_minor == 0 {
        return Ok(());
    }
    // By number, so that shares do not hang on the order in which the lines were sent.
    let mut counted: Vec<usize> = (0..lines.len()).filter(|i| !order.lines[*i].voided).collect();
    counted.sort_by_key(|i| order.lines[*i].line_no);
    let cost =
        |lines: &[LineAmounts]| -> Vec<i64> { counted.iter().map(|i| lines[*i].gross - lines[*i].discount).collect() };
    let weights = cost(lines);
    if order.order_discount_minor > weights.iter().sum() {
        let detail = "the order's discount is more than its lines cost";
        return Err(OltpError::invalid("oltp.discount_over_gross", "/order_discount_minor", detail));
    }
    for (i, part) in counted.iter().zip(allocate(order.order_discount_minor, &weights)) {
        lines[*i].order_discount = part;
        lines[*i].discount += part;
    }
    for (i, part) in counted.iter().zip(allocate(order.order_tax_minor, &cost(lines))) {
        lines[*i].tax += part;
    }
    Ok(())
}

/// Splits an amount by weights to the minor unit: whole shares first, then one unit each to the largest remainders, the first of
/// equal ones. The parts sum to the amount; none is negative; of an amount that is at most the sum of the weights, none is more than
/// its weight. Without any weight the parts are as equal as can be.
pub(crate) fn allocate(amount: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    if sum == 0 {
        return if weights.is_empty() { Vec::new() } else { allocate(amount, &vec![1; weights.len()]) };
    }
    let exact = |weight: i64| i128::from(amount) * i128::from(weight);
    let mut parts: Vec<i64> =
        weights.iter().map(|weight| i64::try_from(exact(*weight) / sum).unwrap_or(i64::MAX)).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(exact(weights[*i]) % sum));
    let rest = usize::try_from(amount - parts.iter().sum::<i64>()).unwrap_or(0);
    for i in order.into_iter().take(rest) {
        parts[i] += 1;
    }
    parts
}

/// What payments took.
fn paid(order: &PutOrder) -> Option<i64> {
    let captured = order.payments.iter().filter(|payment| payment.is_captured()).map(|payment| payment.amount_minor);
    // At most 100 of at most 1e15 each.
    (!order.payments.is_empty()).then(|| captured.sum())
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
            ..OrderLineValue::default()
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

    fn shared(lines: Vec<OrderLineValue>, discount: i64, tax: i64) -> Vec<(i32, LineAmounts)> {
        let numbers: Vec<i32> = lines.iter().map(|line| line.line_no).collect();
        let order = PutOrder { lines, order_discount_minor: discount, order_tax_minor: tax, ..PutOrder::default() };
        let mut all: Vec<_> = numbers.into_iter().zip(sums(&order).unwrap().lines).collect();
        all.sort_by_key(|(number, _)| *number);
        all
    }

    #[test]
    fn what_the_order_has_as_a_whole_goes_to_its_lines() {
        let numbered = |number, gross| OrderLineValue { line_no: number, ..line("1", None, Some(gross)) };
        let all = shared(vec![numbered(1, 100), numbered(2, 100), numbered(3, 100)], 100, 10);
        assert_eq!(all.iter().map(|(_, line)| line.order_discount).collect::<Vec<_>>(), [34, 33, 33]);
        assert_eq!(all.iter().map(|(_, line)| (line.tax, line.net)).collect::<Vec<_>>(), [(3, 66), (4, 67), (3, 67)]);
        let turned = shared(vec![numbered(3, 100), numbered(1, 100), numbered(2, 100)], 100, 10);
        assert_eq!(turned, all);
        let order = PutOrder { lines: vec![numbered(1, 5)], order_discount_minor: 6, ..PutOrder::default() };
        assert_eq!(sums(&order).unwrap_err().pointer(), Some("/order_discount_minor"));
    }

    #[test]
    fn net_amounts_are_without_tax_however_prices_are_meant() {
        let mut sold = line("1", None, Some(119));
        sold.tax_minor = 19;
        let order = PutOrder { lines: vec![sold], tax_included: true, ..PutOrder::default() };
        let sums = sums(&order).unwrap();
        assert_eq!((sums.gross, sums.net, sums.tax, sums.total), (119, 100, 19, 119));
    }

    #[test]
    fn only_goods_are_units() {
        let fee = OrderLineValue { line_type: Some("fee".to_owned()), line_no: 2, ..line("1", Some(50), None) };
        let mut sold = line("2", Some(150), None);
        sold.fulfilled_quantity = Some(Decimal::ONE);
        let order = PutOrder { lines: vec![sold, fee], ..PutOrder::default() };
        let sums = sums(&order).unwrap();
        assert_eq!((sums.units, sums.fulfilled, sums.gross), (Decimal::TWO, Some(Decimal::ONE), 350));
    }

    proptest::proptest! {
        #[test]
        fn parts_are_exact(amount in 0..=AMOUNT_MAX, weights in proptest::collection::vec(0..=AMOUNT_MAX, 1..40)) {
            let parts = allocate(amount, &weights);
            proptest::prop_assert_eq!(parts.iter().sum::<i64>(), amount);
            proptest::prop_assert!(parts.iter().all(|part| *part >= 0));
            if amount <= weights.iter().sum() {
                proptest::prop_assert!(parts.iter().zip(&weights).all(|(part, weight)| part <= weight));
            }
            // Turned round, the same weights get the same parts, but for who of equal remainders comes first.
            let turned: Vec<i64> = weights.iter().rev().copied().collect();
            let (mut one, mut other): (Vec<_>, Vec<_>) =
                (weights.iter().zip(parts).collect(), turned.iter().zip(allocate(amount, &turned)).collect());
            one.sort_unstable();
            other.sort_unstable();
            proptest::prop_assert_eq!(one, other);
        }
    }
}
