//! Typed ids. Ours are UUIDv7 (they sort by time of creation); theirs stay text.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id; ids made later sort later.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A member of the loyalty programme or a registered customer.
    MemberId;
    /// A sales order or till receipt.
    OrderId;
    /// A proposal to do something for a person.
    RecommendationId;
    /// An action that passed the guardrails.
    ActionId;
}

/// Whoever a signal is about: a member, or someone not known yet.
///
/// `m:<member id>`, `u:<user id>`, `c:<contact token>` or `a:<anonymous id>`, from best known to least.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonId(pub String);

impl PersonId {
    /// The person that a member is.
    #[must_use]
    pub fn member(id: MemberId) -> Self {
        Self(format!("m:{id}"))
    }

    /// The member behind this person, where there is one.
    #[must_use]
    pub fn as_member(&self) -> Option<MemberId> {
        self.0.strip_prefix("m:")?.parse().ok()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for PersonId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
