//! Identities: the ways in which a person is recognised, normalised and turned into tokens.
//!
//! The bus and the serving layer never see an e-mail address, a phone number or a card number: they see its token, a keyed
//! hash. Whoever asks by e-mail hashes the question with the same key.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// What kind of identifier recognises a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// An e-mail address.
    Email,
    /// A phone number in E.164 form.
    Phone,
    /// A loyalty card number.
    Card,
    /// The anonymous id that a tracking SDK made up.
    Anonymous,
    /// An id from another system, such as a shop's customer id; also the `userId` of behaviour events. With the system's name before it,
    /// as in `shopify:123`, ids of two systems never meet.
    External,
    /// The address under which a marketplace hides a buyer's own: it changes, so that it never decides alone.
    RelayEmail,
    /// A device that several people may use: it never decides alone.
    Device,
}

/// Why a text is no identity of its kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a valid {kind}: {reason}")]
pub struct IdentityError {
    /// The kind asked for.
    pub kind: &'static str,
    /// What is wrong; never holds the value itself, which may be personal.
    pub reason: &'static str,
}

impl IdentityKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Email, Self::Phone, Self::Card, Self::Anonymous, Self::External, Self::RelayEmail, Self::Device];

    /// The kind as it stands in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Anonymous => "anonymous",
            Self::External => "external",
            Self::RelayEmail => "relay_email",
            Self::Device => "device",
        }
    }

    /// Whether identities of this kind never decide alone who somebody is: several people may share one.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::RelayEmail | Self::Device)
    }

    /// Brings a value into the one form that is compared: e-mails in lower case, phones as `+` and digits, the rest trimmed.
    ///
    /// # Errors
    /// When the value is empty, too long (over 320 bytes) or not of its kind.
    pub fn normalise(self, value: &str) -> Result<String, IdentityError> {
        let fail = |reason| Err(IdentityError { kind: self.name(), reason });
        let value = value.trim();
        if value.is_empty() || value.len() > 320 {
            return fail("it is empty or longer than 320 bytes");
        }
        if value.chars().any(char::is_control) {
            return fail("it holds control characters");
        }
        match self {
            Self::Email | Self::RelayEmail => match value.split_once('@') {
                Some((local, domain))
                    if !local.is_empty() && domain.contains('.') && !domain.contains('@') && !value.contains(' ') =>
                {
                    Ok(value.to_lowercase())
                }
                _ => fail("an e-mail address has one @ and a domain with a dot"),
            },
            Self::Phone => {
                if value.chars().any(|c| !(c.is_ascii_digit() || " +-().".contains(c))) {
                    return fail("a phone number has digits, spaces and + - ( ) . only");
                }
                let digits: String = value.chars().filter(char::is_ascii_digit).collect();
                if value.starts_with('+') && (7..=15).contains(&digits.len()) {
                    Ok(format!("+{digits}"))
                } else {
                    fail("a phone number is in E.164 form: + and 7 to 15 digits")
                }
            }
            Self::Card | Self::Anonymous | Self::External | Self::Device => Ok(value.to_owned()),
        }
    }
}

impl std::fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for IdentityKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let kinds: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("`{text}` is not an identity kind; the kinds are {}", kinds.join(", "))
        })
    }
}

/// An identity as it travels: the kind, and the token of the value.
///
/// Anonymous and external ids are not personal by themselves and stay as they are; the others are hashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The kind.
    pub kind: IdentityKind,
    /// The token, or the value itself for anonymous and external ids.
    pub token: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.token)
    }
}

/// Makes tokens with a deployment's secret key.
#[derive(Clone)]
pub struct Tokeniser {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Tokeniser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokeniser(key hidden)")
    }
}

impl Tokeniser {
    /// A tokeniser for a deployment's key.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    pub fn new(key: &[u8]) -> Self {
        Self { mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    /// Normalises a value and makes it an identity: 32 hex digits of HMAC-SHA256 over `kind`, a zero byte and the value.
    ///
    /// # Errors
    /// As [`IdentityKind::normalise`].
    pub fn identify(&self, kind: IdentityKind, value: &str) -> Result<Identity, IdentityError> {
        let value = kind.normalise(value)?;
        let token = match kind {
            IdentityKind::Anonymous | IdentityKind::External => value,
            IdentityKind::Email
            | IdentityKind::Phone
            | IdentityKind::Card
            | IdentityKind::RelayEmail
            | IdentityKind::Device => {
                let mut mac = self.mac.clone();
                mac.update(kind.name().as_bytes());
                mac.update(&[0]);
                mac.update(value.as_bytes());
                let digest = mac.finalize().into_bytes();
                hex::encode(&digest[..16])
            }
        };
        Ok(Identity { kind, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_writes_an_address_in_many_ways() {
        let tokens = Tokeniser::new(b"key");
        let a = tokens.identify(IdentityKind::Email, " Ann@Example.com ").unwrap();
        let b = tokens.identify(IdentityKind::Email, "ann@example.com").unwrap();
        assert_eq!(a, b);
        assert_eq!(a.token.len(), 32);
        let phone = |text| tokens.identify(IdentityKind::Phone, text).unwrap();
        assert_eq!(phone("+1 (555) 010-9999"), phone("+15550109999"));
    }

    #[test]
    fn kinds_and_keys_keep_tokens_apart() {
        let value = "4711";
        let one = Tokeniser::new(b"one");
        let two = Tokeniser::new(b"two");
        let card = |t: &Tokeniser| t.identify(IdentityKind::Card, value).unwrap().token;
        assert_ne!(card(&one), card(&two));
        assert_eq!(one.identify(IdentityKind::External, value).unwrap().token, value);
    }

    #[test]
    fn nonsense_is_refused_without_repeating_it() {
        for (kind, value) in [
            (IdentityKind::Email, "ann"),
            (IdentityKind::Email, "a@b@c.d"),
            (IdentityKind::Phone, "12"),
            (IdentityKind::Phone, "call me"),
            (IdentityKind::Card, "  "),
        ] {
            let error = kind.normalise(value).unwrap_err().to_string();
            assert!(value.trim().is_empty() || !error.contains(value), "{error}");
        }
    }
}
