//! The eight layers, in the order in which a signal passes them.

use serde::{Deserialize, Serialize};

/// One layer of the house. The name is the same in folders, config sections, metrics, log targets and error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// API access and data router: business facts in.
    Access,
    /// The transactional store of business truth.
    Oltp,
    /// Change capture from the store to the bus.
    Capture,
    /// Behaviour events in.
    Gateway,
    /// The log that all layers share.
    Bus,
    /// Folds signals into what is known of a person.
    Processing,
    /// Answers questions.
    Serving,
    /// Turns intents into guarded actions.
    Decisions,
}

impl Layer {
    /// All layers in the order of a signal.
    pub const ALL: [Self; 8] = [
        Self::Access,
        Self::Oltp,
        Self::Capture,
        Self::Gateway,
        Self::Bus,
        Self::Processing,
        Self::Serving,
        Self::Decisions,
    ];

    /// The layer's one noun.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Oltp => "oltp",
            Self::Capture => "capture",
            Self::Gateway => "gateway",
            Self::Bus => "bus",
            Self::Processing => "processing",
            Self::Serving => "serving",
            Self::Decisions => "decisions",
        }
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Layer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|layer| layer.name() == text).ok_or_else(|| {
            format!("`{text}` is not a layer; the layers are access, oltp, capture, gateway, bus, processing, serving, decisions")
        })
    }
}
