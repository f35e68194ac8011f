//! Standard Webhooks (version 1): how a webhook is signed and how its receiver knows that it is genuine.
//!
//! The signed message is `<id>.<timestamp>.<body>`; the signature is `v1,` and the base64 of its HMAC-SHA256.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Header with the id of the message: the same at every attempt, so that the receiver can drop repeats.
pub const ID: &str = "webhook-id";
/// Header with the time of the attempt, seconds since 1970 UTC.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// Header with one or more signatures, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";
/// How far the time of a message may be from the receiver's own, seconds.
pub const TOLERANCE_S: i64 = 300;

/// Fewest and most bytes of a key.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Most signatures that are looked at: a sender has one for each secret that is being rotated.
const SIGNATURES_MAX: usize = 16;

/// How far the time of a message may be from the receiver's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// How old a message may be, seconds.
    pub past_s: i64,
    /// How far ahead the sender's clock may be, seconds.
    pub ahead_s: i64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { past_s: TOLERANCE_S, ahead_s: TOLERANCE_S }
    }
}

/// Checks a received message as [`Secret::verify`] does, with several secrets of which any may have signed it: while a secret is
/// being replaced, both are right.
///
/// # Errors
/// As [`Secret::verify`].
pub fn verify_any(
    secrets: &[Secret],
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: i64,
    tolerance: Tolerance,
) -> Result<(), Rejection> {
    // A dot in the id would let two messages share one signed text.
    if id.is_empty() || id.len() > 256 || id.contains('.') {
        return Err(Rejection::Header(ID));
    }
    let sent: i64 = timestamp.parse().map_err(|_| Rejection::Header(TIMESTAMP))?;
    let age = now.saturating_sub(sent);
    if age > tolerance.past_s || age < -tolerance.ahead_s {
        return Err(Rejection::Time);
    }
    // All secrets are tried: how long it takes tells nothing of which one it was.
    let genuine = secrets.iter().fold(false, |genuine, secret| genuine | secret.signed(id, timestamp, signature, body));
    if genuine { Ok(()) } else { Err(Rejection::Signature) }
}

/// A secret that sender and receiver share. Its value is shown nowhere.
#[derive(Clone)]
pub struct Secret {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a text is no secret. The text itself is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook secret is `whsec_` and the base64 of 24 to 64 random bytes; `openssl rand -base64 32` makes the second part"
)]
pub struct SecretError;

/// Why a webhook is not genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A header is missing or malformed.
    #[error("the header `{0}` is missing or malformed")]
    Header(&'static str),
    /// The time is too far from the receiver's: an old message played again, or a clock that is wrong.
    #[error("the time of the message is too far from ours")]
    Time,
    /// No signature is right.
    #[error("no signature matches")]
    Signature,
}

impl std::str::FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix("whsec_").ok_or(SecretError)?;
        let key = STANDARD.decode(encoded).map_err(|_| SecretError)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(SecretError);
        }
        Ok(Self { mac: Hmac::new_from_slice(&key).map_err(|_| SecretError)? })
    }
}

impl Secret {
    /// Signs a message: the value of [`SIGNATURE`]. `timestamp` is in seconds since 1970 UTC.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signature = self.message(id, &timestamp.to_string(), body).finalize().into_bytes();
        format!("v1,{}", STANDARD.encode(signature))
    }

    /// Checks the headers of a received message against its raw body, in constant time. `now` is in seconds since 1970 UTC.
    ///
    /// # Errors
    /// When a header is missing or malformed, the time is too far off, or no signature matches.
    pub fn verify(&self, id: &str, timestamp: &str, signature: &str, body: &[u8], now: i64) -> Result<(), Rejection> {
        let tolerance = Tolerance::default();
        verify_any(std::slice::from_ref(self), id, timestamp, signature, body, now, tolerance)
    }

    /// Whether one of the signatures is ours. All are looked at, whichever is right.
    fn signed(&self, id: &str, timestamp: &str, signature: &str, body: &[u8]) -> bool {
        let mut genuine = false;
        for candidate in signature.split(' ').take(SIGNATURES_MAX).filter_map(|text| text.strip_prefix("v1,")) {
            if let Ok(bytes) = STANDARD.decode(candidate) {
                genuine |= self.message(id, timestamp, body).verify_slice(&bytes).is_ok();
            }
        }
        genuine
    }

    fn message(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The vector that the specification's own libraries are tested with.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret() -> Secret {
        KEY.parse().unwrap()
    }

    fn verify(id: &str, timestamp: &str, signature: &str, body: &[u8]) -> Result<(), Rejection> {
        secret().verify(id, timestamp, signature, body, SENT)
    }

    #[test]
    fn signs_and_verifies_the_published_vector() {
        assert_eq!(secret().sign(MESSAGE, SENT, BODY), SIGNED);
        assert_eq!(verify(MESSAGE, "1614265330", SIGNED, BODY), Ok(()));
    }

    #[test]
    fn one_right_signature_among_several_is_enough() {
        let several = format!("v1,AAAA v2,{} {SIGNED} v1,not-base64", &SIGNED[3..]);
        assert_eq!(verify(MESSAGE, "1614265330", &several, BODY), Ok(()));
    }

    #[test]
    fn refuses_what_is_not_genuine() {
        let at = "1614265330";
        let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".parse::<Secret>().unwrap().sign(MESSAGE, SENT, BODY);
        for (what, got, wanted) in [
            ("another body", verify(MESSAGE, at, SIGNED, br#"{"test": 2432232315}"#), Rejection::Signature),
            ("another id", verify("msg_other", at, SIGNED, BODY), Rejection::Signature),
            ("another time", verify(MESSAGE, "1614265331", SIGNED, BODY), Rejection::Signature),
            ("another key", verify(MESSAGE, at, &other, BODY), Rejection::Signature),
            ("another scheme", verify(MESSAGE, at, &SIGNED.replace("v1,", "v1a,"), BODY), Rejection::Signature),
            ("no signature", verify(MESSAGE, at, "", BODY), Rejection::Signature),
            ("a short signature", verify(MESSAGE, at, "v1,g0hM", BODY), Rejection::Signature),
            ("no id", verify("", at, SIGNED, BODY), Rejection::Header(ID)),
            ("a dotted id", verify("msg.1", at, SIGNED, BODY), Rejection::Header(ID)),
            ("no time", verify(MESSAGE, "soon", SIGNED, BODY), Rejection::Header(TIMESTAMP)),
            ("an old time", verify(MESSAGE, "1614265029", SIGNED, BODY), Rejection::Time),
            ("a future time", verify(MESSAGE, "1614265631", SIGNED, BODY), Rejection::Time),
            ("an absurd time", verify(MESSAGE, "-9223372036854775808", SIGNED, BODY), Rejection::Time),
        ] {
            assert_eq!(got, Err(wanted), "{what}");
        }
    }

    #[test]
    fn a_secret_is_never_shown_and_never_short() {
        assert_eq!(format!("{:?}", secret()), "Secret(…)");
        for text in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_ä"] {
            assert!(text.parse::<Secret>().is_err(), "{text}");
        }
    }
}
