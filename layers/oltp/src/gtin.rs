//! GTINs: the GS1 item numbers of 8, 12, 13 or 14 digits, brought to 14.

/// Checks the check digit and pads with zeros to 14 digits.
pub(crate) fn normalise(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if !matches!(text.len(), 8 | 12 | 13 | 14) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a GTIN has 8, 12, 13 or 14 digits");
    }
    let padded = format!("{text:0>14}");
    // GS1: weights 3 and 1 by turns from the left of 14 digits; the whole sum, check digit included, is a multiple of ten.
    let sum: u32 =
        padded.bytes().enumerate().map(|(i, byte)| u32::from(byte - b'0') * if i % 2 == 0 { 3 } else { 1 }).sum();
    if sum.is_multiple_of(10) { Ok(padded) } else { Err("the check digit of the GTIN is wrong") }
}

/// Whether a GTIN of 14 digits is a global id. Numbers of restricted circulation mean something else in every house: GTIN-8 that start
/// with 0 (also PLU codes with zeros in front) or 2; GTIN-12 and -13 that start with 02, 04 or 20 to 29 (weighed goods, numbers of
/// a house), 981 to 983 or 99 (coupons).
pub(crate) fn is_global(gtin14: &str) -> bool {
    match gtin14.strip_prefix("000000") {
        Some(short) => !short.starts_with(['0', '2']),
        None => {
            let restricted = ["02", "04", "2", "981", "982", "983", "99"];
            gtin14.get(1..).is_some_and(|item| !restricted.iter().any(|prefix| item.starts_with(prefix)))
        }
    }
}

/// Checks a Global Location Number: 13 digits with the check digit of a GTIN.
pub(crate) fn is_location(gln: &str) -> bool {
    gln.len() == 13 && normalise(gln).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{is_global, is_location, normalise};

    #[test]
    fn published_numbers_pass_and_mistyped_ones_do_not() {
        for good in ["6291041500213", "7300011000017", "8904000210037", "17311310026612", "96385074", "036000291452"] {
            let padded = normalise(good).unwrap();
            assert_eq!(padded.len(), 14);
            assert!(padded.ends_with(good));
            let last = good.bytes().last().unwrap() - b'0';
            let wrong = format!("{}{}", &good[..good.len() - 1], (last + 1) % 10);
            assert!(normalise(&wrong).is_err(), "{wrong}");
        }
        for bad in ["", "1", "12345678901", "9638507x", "٩٦٣٨٥٠٧٤"] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_of_restricted_circulation_are_not_global() {
        for good in ["6291041500213", "7300011000017", "17311310026612", "96385074", "036000291452"] {
            assert!(is_global(&normalise(good).unwrap()), "{good}");
        }
        for restricted in
            ["00000000004011", "00000020000004", "00200000000004", "02012345000008", "00412345000003", "09812345678908"]
        {
            assert!(!is_global(restricted), "{restricted}");
        }
    }

    #[test]
    fn a_location_has_thirteen_digits() {
        assert!(is_location("4012345000009"));
        assert!(!is_location("4012345000008") && !is_location("96385074"));
    }
}
