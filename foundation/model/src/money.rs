//! Money in minor units: sums are exact, in any order.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};

/// An ISO 4217 currency code, three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// Why a text is no amount of money.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MoneyError {
    /// The code is not three ASCII upper-case letters.
    #[error("`{0}` is not an ISO 4217 currency code: three upper-case letters, such as USD")]
    Currency(String),
    /// The amount has more decimals than the currency has.
    #[error("{amount} has more decimals than {currency} allows ({exponent})")]
    TooFine {
        /// The amount as given.
        amount: String,
        /// Its currency.
        currency: Currency,
        /// Decimals that the currency has.
        exponent: u32,
    },
    /// The amount is out of the range of a signed 64-bit integer of minor units.
    #[error("{0} is out of range")]
    Range(String),
    /// The amount is not a decimal number.
    #[error("`{0}` is not a decimal number")]
    Number(String),
}

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");

    /// Parses a code.
    ///
    /// # Errors
    /// [`MoneyError::Currency`] unless the text is three upper-case ASCII letters.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        match code.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::Currency(code.to_owned())),
        }
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Decimals of the minor unit (ISO 4217 table A.1): 2 for most, 0 and 3 for the listed ones.
    #[must_use]
    pub fn exponent(&self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).map_err(serde::de::Error::custom)
    }
}

/// An amount of money in minor units (cents, for USD).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units; negative for money that flows back.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// An amount in minor units.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads a decimal text in major units, such as `12.34`.
    ///
    /// # Errors
    /// When the text is no decimal number, is finer than the currency's minor unit, or is out of range.
    pub fn from_major(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let amount: Decimal = text.trim().parse().map_err(|_| MoneyError::Number(text.to_owned()))?;
        let exponent = currency.exponent();
        let scaled = amount
            .checked_mul(Decimal::from(10_i64.pow(exponent)))
            .ok_or_else(|| MoneyError::Range(text.to_owned()))?;
        if !scaled.fract().is_zero() {
            return Err(MoneyError::TooFine { amount: text.to_owned(), currency, exponent });
        }
        let minor = scaled.to_i64().ok_or_else(|| MoneyError::Range(text.to_owned()))?;
        Ok(Self { minor, currency })
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", Decimal::new(self.minor, self.currency.exponent()), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_major_units_by_the_currencys_exponent() {
        let yen = Currency::parse("JPY").unwrap();
        assert_eq!(Money::from_major("12.34", Currency::USD).unwrap().minor, 1234);
        assert_eq!(Money::from_major("-0.5", Currency::USD).unwrap().minor, -50);
        assert_eq!(Money::from_major("1200", yen).unwrap().minor, 1200);
        assert!(matches!(Money::from_major("12.5", yen), Err(MoneyError::TooFine { .. })));
        assert!(matches!(Money::from_major("1e5x", Currency::USD), Err(MoneyError::Number(_))));
        assert!(matches!(Money::from_major("99999999999999999999", Currency::USD), Err(MoneyError::Range(_))));
    }

    #[test]
    fn refuses_what_is_no_currency() {
        for text in ["usd", "US", "USDX", "U$D", ""] {
            assert!(Currency::parse(text).is_err(), "{text}");
        }
    }
}
