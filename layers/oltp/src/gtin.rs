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

#[cfg(test)]
mod tests {
    use super::normalise;

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
}
