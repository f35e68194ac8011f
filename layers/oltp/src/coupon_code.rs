//! Codes of coupons: how they are made, and what makes two of them the same. Pure but for the randomness of new ones.

use crate::error::OltpError;
use rand::TryRngCore;
use rand::rngs::OsRng;

/// Most characters of a code.
pub(crate) const CODE_MAX: usize = 64;
/// Digits and capital letters without I, L, O and U: nothing that looks like something else, and few words.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Random characters of a new code, of 5 bits each: 80 bits. Whoever tries a million codes a second against a hundred thousand
/// issued ones finds the first after some 190,000 years.
const RANDOM: usize = 16;

/// What a code is looked for by: upper case, without blanks and hyphens, with characters that look alike as one.
pub(crate) fn key(code: &str) -> String {
    let kept = code.chars().filter(|c| !c.is_whitespace() && *c != '-');
    kept.flat_map(char::to_uppercase)
        .map(|c| match c {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        })
        .collect()
}

/// Checks a code that somebody typed or chose.
pub(crate) fn check(pointer: &str, code: &str) -> Result<(), OltpError> {
    let key = key(code);
    let fits = !key.is_empty() && key.chars().count() <= CODE_MAX && code.chars().count() <= CODE_MAX;
    if fits && !code.chars().any(char::is_control) {
        return Ok(());
    }
    let detail = format!("a code has 1 to {CODE_MAX} visible characters");
    Err(OltpError::invalid("oltp.invalid_text", pointer, detail))
}

/// New codes: the prefix, random characters from the operating system, and one that tells a mistyped code.
///
/// # Errors
/// [`OltpError::Internal`] when the operating system has no randomness to give.
pub(crate) fn generate(prefix: Option<&str>, count: usize) -> Result<Vec<String>, OltpError> {
    let mut bytes = vec![0_u8; count * RANDOM];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| OltpError::Internal(format!("the operating system gives no random bytes: {error}")))?;
    let codes = bytes.chunks_exact(RANDOM).map(|random| {
        let mut code = String::with_capacity(prefix.map_or(0, |prefix| prefix.len() + 1) + RANDOM + 1);
        if let Some(prefix) = prefix {
            code.push_str(prefix);
            code.push('-');
        }
        let values: Vec<usize> = random.iter().map(|byte| usize::from(byte & 31)).collect();
        code.extend(values.iter().map(|value| char::from(ALPHABET[*value])));
        code.push(char::from(ALPHABET[check_value(&values)]));
        code
    });
    Ok(codes.collect())
}

/// Luhn's sum over an alphabet of 32: one wrong character or two neighbours swapped do not go unseen.
fn check_value(values: &[usize]) -> usize {
    let sum: usize = values
        .iter()
        .rev()
        .enumerate()
        .map(|(place, value)| {
            let weighed = value * (2 - place % 2);
            weighed / ALPHABET.len() + weighed % ALPHABET.len()
        })
        .sum();
    (ALPHABET.len() - sum % ALPHABET.len()) % ALPHABET.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn values(code: &str) -> Vec<usize> {
        code.bytes().map(|byte| ALPHABET.iter().position(|known| *known == byte).unwrap()).collect()
    }

    #[test]
    fn look_alikes_blanks_and_case_do_not_matter() {
        assert_eq!(key(" sprlng-1o "), "SPR1NG10");
        assert_eq!(key("élan"), "É1AN");
        assert!(
            check("/code", " - ").is_err() && check("/code", "a\u{7}").is_err() && check("/code", "SPRING10").is_ok()
        );
        assert!(check("/code", &"x".repeat(65)).is_err());
    }

    #[test]
    fn new_codes_differ_and_are_their_own_keys() {
        let codes = generate(Some("SPRING"), 1000).unwrap();
        let keys: HashSet<String> = codes.iter().map(|code| key(code)).collect();
        assert_eq!(keys.len(), 1000);
        let tail = codes[0].strip_prefix("SPRING-").unwrap();
        assert_eq!((tail.len(), key(tail).as_str()), (RANDOM + 1, tail));
    }

    #[test]
    fn one_wrong_character_or_a_swap_shows() {
        let code = generate(None, 1).unwrap().remove(0);
        let (random, last) = code.split_at(RANDOM);
        assert_eq!(check_value(&values(random)), values(last)[0]);
        for place in 0..RANDOM {
            let mut other = values(random);
            other[place] = (other[place] + 1) % 32;
            assert_ne!(check_value(&other), values(last)[0]);
        }
    }
}
