//! Takes personal data out of an event: what identifies a person becomes a token, the rest goes.
//!
//! Two nets: the *name* of a field (`email`, `firstName`, `shipping_address_line_1` …, in any style, at any depth), and the
//! *form* of a text (e-mail addresses, phone numbers, query parameters with such a name) wherever it stands.

mod field;
mod mask;

use crate::IpPolicy;
use field::Field;
use model::{Identity, IdentityKind, Tokeniser};
use serde_json::{Map, Value};
use std::net::IpAddr;

pub(crate) use mask::mask;

/// Deepest nesting of an event's objects and lists.
pub(crate) const DEPTH_MAX: usize = 16;
/// Most fields and list items of an event.
pub(crate) const NODES_MAX: usize = 4_000;

/// An event nests too deep or has too many parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Beyond [`DEPTH_MAX`].
    TooDeep,
    /// Beyond [`NODES_MAX`].
    TooMany,
}

/// The part of an event that is cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Where it happened.
    Context,
    /// Who: `name` is a person's name here.
    Traits,
    /// What: `name` is a product's name here.
    Properties,
}

/// Cleans one event; holds what it found.
pub(crate) struct Cleaner<'a> {
    tokeniser: &'a Tokeniser,
    ip: IpPolicy,
    /// Identities found, each once.
    pub(crate) identities: Vec<Identity>,
    /// Fields that should have held an identity and did not.
    pub(crate) unusable: u64,
    nodes: usize,
    shape: Option<Shape>,
}

impl<'a> Cleaner<'a> {
    pub(crate) const fn new(tokeniser: &'a Tokeniser, ip: IpPolicy) -> Self {
        Self { tokeniser, ip, identities: Vec::new(), unusable: 0, nodes: 0, shape: None }
    }

    /// Cleans a part of the event in place.
    ///
    /// # Errors
    /// When it is deeper or wider than any event needs; the part must not be used then.
    pub(crate) fn clean(&mut self, part: Part, map: &mut Map<String, Value>) -> Result<(), Shape> {
        self.object(part, map, 1, true);
        self.shape.map_or(Ok(()), Err)
    }

    /// An id as it may travel: one that is an e-mail address or a phone number becomes `email:<token>` or `phone:<token>`
    /// and is noted as an identity; addresses inside it become tokens.
    pub(crate) fn id(&mut self, id: String) -> String {
        let kind = if mask::is_address(&id) {
            IdentityKind::Email
        } else if id.starts_with('+') {
            IdentityKind::Phone
        } else {
            return self.opaque(id);
        };
        match self.tokeniser.identify(kind, &id) {
            Ok(identity) => {
                let text = identity.to_string();
                self.note(identity);
                text
            }
            Err(_) => self.opaque(id),
        }
    }

    /// An id that says nothing of a person, such as a message's: addresses inside it become tokens, and no identity.
    pub(crate) fn opaque(&self, id: String) -> String {
        if !id.contains(['@', '%']) {
            return id;
        }
        let token = |address: &str| match self.tokeniser.identify(IdentityKind::Email, address) {
            Ok(identity) => identity.token,
            Err(_) => "redacted".to_owned(),
        };
        mask::with(&id, token).unwrap_or(id)
    }

    fn note(&mut self, identity: Identity) {
        if !self.identities.contains(&identity) {
            self.identities.push(identity);
        }
    }

    /// `own`: identities in it are the visitor's. Deeper ones may be of somebody else, such as a gift's receiver.
    fn object(&mut self, part: Part, map: &mut Map<String, Value>, depth: usize, own: bool) {
        if self.too_deep(depth) {
            return;
        }
        let mut renamed = false;
        map.retain(|key, value| {
            self.nodes += 1;
            renamed |= mask(key).is_some();
            match field::of(key, part) {
                Field::Plain => self.value(part, value, depth, false),
                Field::Person => {
                    let own = part == Part::Context && depth == 1 && key == "traits";
                    return self.person(value, depth, own);
                }
                Field::Party => self.value(Part::Traits, value, depth, false),
                Field::Goods => self.value(Part::Properties, value, depth, false),
                Field::Id => {
                    if let Value::Number(number) = value {
                        *value = Value::String(number.to_string());
                    }
                    self.value(part, value, depth, false);
                }
                Field::Identity(kind) => {
                    if own && !value.is_null() {
                        self.found(kind, value);
                    }
                    return false;
                }
                Field::Ip if part == Part::Context && depth == 1 => return self.network(value),
                // Yes or no, such as in `phone_verified`, says nothing of the value itself.
                Field::Ip | Field::Personal => return value.is_boolean(),
            }
            true
        });
        if renamed {
            let fields = std::mem::take(map);
            map.extend(fields.into_iter().map(|(key, value)| (mask(&key).unwrap_or(key), value)));
        }
    }

    fn value(&mut self, part: Part, value: &mut Value, depth: usize, own: bool) {
        match value {
            Value::String(text) => {
                if let Some(masked) = mask(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => {
                self.nodes += items.len();
                if !self.too_deep(depth + 1) {
                    for item in items {
                        self.value(part, item, depth + 1, false);
                    }
                }
            }
            Value::Object(map) => self.object(part, map, depth + 1, own),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Cleans what stands for a person; false takes it out: a text or a number says who it is.
    fn person(&mut self, value: &mut Value, depth: usize, own: bool) -> bool {
        match value {
            Value::String(_) | Value::Number(_) => return false,
            Value::Array(items) => {
                self.nodes += items.len();
                if !self.too_deep(depth + 1) {
                    items.retain_mut(|item| self.person(item, depth + 1, false));
                }
            }
            Value::Object(map) => self.object(Part::Traits, map, depth + 1, own),
            Value::Null | Value::Bool(_) => {}
        }
        true
    }

    fn too_deep(&mut self, depth: usize) -> bool {
        if self.nodes > NODES_MAX {
            self.shape = Some(Shape::TooMany);
        } else if depth > DEPTH_MAX {
            self.shape = Some(Shape::TooDeep);
        }
        self.shape.is_some()
    }

    fn found(&mut self, kind: IdentityKind, value: &Value) {
        let identity = match value {
            Value::String(text) => self.tokeniser.identify(kind, text),
            Value::Number(number) => self.tokeniser.identify(kind, &number.to_string()),
            _ => return self.unusable += 1,
        };
        match identity {
            Ok(identity) => self.note(identity),
            Err(_) => self.unusable += 1,
        }
    }

    /// Keeps the network of an IP address, if the policy says so; false takes the field out.
    fn network(&self, value: &mut Value) -> bool {
        let network = match value {
            Value::String(text) if self.ip == IpPolicy::Truncate => network(text),
            _ => None,
        };
        match network {
            Some(network) => {
                *value = Value::String(network);
                true
            }
            None => false,
        }
    }
}

/// The network of an address: /24 of IPv4, /48 of IPv6.
fn network(text: &str) -> Option<String> {
    match text.trim().parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Some(format!("{a}.{b}.{c}.0"))
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Some(std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string())
        }
    }
}

#[cfg(test)]
mod tests;
