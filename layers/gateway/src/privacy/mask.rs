//! Masks personal data inside free text: e-mail addresses, phone numbers, query parameters that hold such things.

use super::Part;
use super::field::{self, Field};
use model::IdentityKind;
use std::borrow::Cow;

/// What stands in the place of an e-mail address.
const EMAIL: &str = "[email]";
/// What stands in the place of a phone number.
const PHONE: &str = "[phone]";
/// Longest phone number as people write it, in bytes.
const NUMBER_MAX: usize = 32;
/// What stands in the place of a query parameter's value.
const REDACTED: &str = "[redacted]";

/// The text without personal data; none when there was none in it.
pub(crate) fn mask(text: &str) -> Option<String> {
    // Most texts hold none of these, and the look is cheap.
    if !text.bytes().any(|byte| matches!(byte, b'@' | b'%' | b'=' | b'+' | 0)) {
        return None;
    }
    if is_phone(text) {
        return Some(PHONE.to_owned());
    }
    let mut now = Cow::Borrowed(text);
    if now.contains('\0') {
        // PostgreSQL and JSON readers downstream refuse NUL.
        now = Cow::Owned(now.replace('\0', ""));
    }
    if now.contains('=')
        && let Some(query) = parameters(&now)
    {
        now = Cow::Owned(query);
    }
    if let Some(masked) = with(&now, |_| EMAIL.to_owned()) {
        now = Cow::Owned(masked);
    }
    if now.contains('+')
        && let Some(masked) = numbers(&now)
    {
        now = Cow::Owned(masked);
    }
    match now {
        Cow::Owned(masked) => Some(masked),
        Cow::Borrowed(_) => None,
    }
}

fn is_phone(text: &str) -> bool {
    let text = text.trim_start();
    let number = text.strip_prefix("tel:").unwrap_or(text);
    number.starts_with('+') && number.len() <= NUMBER_MAX && IdentityKind::Phone.normalise(number).is_ok()
}

/// Masks phone numbers with a country code inside a text; none when there is none. A plus behind a letter or a digit begins no number: it
/// adds, or stands for a blank.
fn numbers(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let (mut out, mut copied, mut from) = (String::new(), 0, 0);
    while let Some(at) = (from..bytes.len()).find(|&at| bytes.get(at) == Some(&b'+')) {
        from = at + 1;
        let behind_word =
            at > 0 && bytes.get(at - 1).is_some_and(|before| before.is_ascii_alphanumeric() || *before >= 0x80);
        let end = number_end(bytes, at);
        let number = text.get(at..end).unwrap_or("");
        if behind_word || IdentityKind::Phone.normalise(number).is_err() {
            continue;
        }
        out.push_str(text.get(copied..at).unwrap_or(""));
        out.push_str(PHONE);
        (copied, from) = (end, end);
    }
    if copied == 0 {
        return None;
    }
    out.push_str(text.get(copied..).unwrap_or(""));
    Some(out)
}

/// End of a number that begins with the plus at `at`: behind its last digit. Between digits stand two signs at most, as in `) `.
fn number_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    for (place, byte) in bytes.iter().enumerate().skip(at + 1).take(NUMBER_MAX) {
        match byte {
            b'0'..=b'9' => end = place + 1,
            b' ' | b'-' | b'.' | b'(' | b')' if place - end < 2 => {}
            _ => break,
        }
    }
    end
}

/// Whether a text is one e-mail address and nothing else.
pub(super) fn is_address(text: &str) -> bool {
    text.contains('@') && with(text, |_| String::new()).is_some_and(|rest| rest.is_empty())
}

/// Replaces each e-mail address in a text, percent-encoded ones too; none when there is none.
pub(super) fn with(text: &str, mut replace: impl FnMut(&str) -> String) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some((at, width)) = next_at(text, from) {
        // Looking back no further than the sign before keeps the work linear.
        let start = local_start(text, from, at);
        from = at + width;
        let end = domain_end(text, at + width);
        let is_address = start < at && text.get(at + width..end).is_some_and(|domain| domain.contains('.'));
        if !is_address {
            continue;
        }
        let address = format!("{}@{}", text.get(start..at).unwrap_or(""), text.get(at + width..end).unwrap_or(""));
        out.push_str(text.get(copied..start).unwrap_or(""));
        out.push_str(&replace(&address));
        copied = end;
        from = end;
    }
    if copied == 0 {
        return None;
    }
    out.push_str(text.get(copied..).unwrap_or(""));
    Some(out)
}

/// The next `@` or `%40`, and how many bytes it has.
fn next_at(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    (from..bytes.len()).find_map(|at| match bytes.get(at..)? {
        [b'@', ..] => Some((at, 1)),
        [b'%', b'4', b'0', ..] => Some((at, 3)),
        _ => None,
    })
}

/// Start of the part before the `@`. Bytes of other alphabets count as letters, so the ends stand between characters.
fn local_start(text: &str, least: usize, at: usize) -> usize {
    let bytes = text.as_bytes();
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"._%+-'!#$*~".contains(&byte);
    (least..at).rev().take_while(|&i| bytes.get(i).copied().is_some_and(is_local)).last().unwrap_or(at)
}

/// End of the part after the `@`, without a closing full stop.
fn domain_end(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b".-".contains(&byte);
    let mut end = (from..bytes.len())
        .take_while(|&i| bytes.get(i).copied().is_some_and(is_domain))
        .last()
        .map_or(from, |i| i + 1);
    while end > from && bytes.get(end - 1) == Some(&b'.') {
        end -= 1;
    }
    end
}

/// Redacts `key=value` pairs whose key names something personal; none when there is none.
fn parameters(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    for piece in text.split_inclusive(['?', '&', '#', ';']) {
        let (body, separator) = match piece.char_indices().last() {
            Some((at, '?' | '&' | '#' | ';')) => piece.split_at(at),
            _ => (piece, ""),
        };
        match body.split_once('=') {
            Some((key, value)) if !value.is_empty() && is_personal(key) => {
                out.push_str(key);
                out.push('=');
                out.push_str(REDACTED);
                changed = true;
            }
            _ => out.push_str(body),
        }
        out.push_str(separator);
    }
    changed.then_some(out)
}

fn is_personal(key: &str) -> bool {
    !matches!(field::of(key, Part::Properties), Field::Plain | Field::Id | Field::Party | Field::Goods)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_masked_wherever_they_stand() {
        for (text, masked) in [
            ("ann@example.com", "[email]"),
            ("Write to Ann.Lee+x@example.co.uk.", "Write to [email]."),
            ("mailto:ann@example.com?subject=x", "mailto:[email]?subject=x"),
            ("a@b.de, c@d.de", "[email], [email]"),
            ("/p?q=ann%40example.com&x=1", "/p?q=[email]&x=1"),
            ("jörg@münchen.de!", "[email]!"),
            ("/a?email=ann&page=2", "/a?email=[redacted]&page=2"),
            ("?phone=%2B15550109999#top", "?phone=[redacted]#top"),
            ("?first_name=Ann;last_name=Lee", "?first_name=[redacted];last_name=[redacted]"),
            ("?recipient=Ann+Lee&zip=53113&shipping=express", "?recipient=[redacted]&zip=[redacted]&shipping=express"),
            ("+1 (555) 010-9999", "[phone]"),
            ("tel:+15550109999", "[phone]"),
            ("call +4915112345678 or write to ann@example.com", "call [phone] or write to [email]"),
            ("+49 (151) 1234-5678, +1 555.010.9999", "[phone], [phone]"),
            ("nul\0byte", "nulbyte"),
        ] {
            assert_eq!(mask(text).as_deref(), Some(masked), "{text}");
        }
    }

    #[test]
    fn other_texts_stay() {
        for text in [
            "",
            "plain",
            "1+15550109999",
            "+ + +",
            "q=red+15550109999",
            "+12 3",
            "+1\n5550109999",
            "@handle",
            "2@home",
            "50% off",
            "a@",
            "@",
            "@@@@",
            "%40",
            "x=1&y=2",
            "+5",
            "a@b",
            "@.",
            "é@",
        ] {
            assert_eq!(mask(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_text_of_signs_takes_linear_time() {
        let text = "a@".repeat(200_000);
        assert_eq!(mask(&text), None);
        assert_eq!(mask(&"+1 2-".repeat(100_000)), None);
        let addresses = "a@b.c ".repeat(50_000);
        assert_eq!(mask(&addresses).unwrap(), "[email] ".repeat(50_000));
    }
}
