//! Positions: the token that a write returns and that a read may wait for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// How far the house must have come for a write to be visible.
///
/// Text form: `w-<16 hex digits>` for a write to the store (a PostgreSQL log position), `e-<partition>.<offset>_…` for events
/// (`behaviour.events`, offset of the last record of each partition). Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Everything committed to the store up to this log position (LSN).
    Wal(u64),
    /// Everything up to these offsets, each inclusive, in `behaviour.events`.
    Events(BTreeMap<i32, i64>),
}

/// Why a text is no position token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a position token: pass on what a write returned, unchanged")]
pub struct PositionError;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wal(lsn) => write!(f, "w-{lsn:016x}"),
            Self::Events(offsets) => {
                f.write_str("e-")?;
                for (i, (partition, offset)) in offsets.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "_" };
                    write!(f, "{separator}{partition}.{offset}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 4096 {
            return Err(PositionError);
        }
        match text.split_once('-') {
            Some(("w", hex)) if hex.len() == 16 => {
                u64::from_str_radix(hex, 16).map(Self::Wal).map_err(|_| PositionError)
            }
            Some(("e", list)) => {
                let mut offsets = BTreeMap::new();
                for item in list.split('_') {
                    let (partition, offset) = item.split_once('.').ok_or(PositionError)?;
                    let partition: i32 = partition.parse().map_err(|_| PositionError)?;
                    let offset: i64 = offset.parse().map_err(|_| PositionError)?;
                    offsets.insert(partition, offset);
                }
                Ok(Self::Events(offsets))
            }
            _ => Err(PositionError),
        }
    }
}

/// Reads a PostgreSQL log position, such as `16/B374D848`.
///
/// # Errors
/// When the text has another form.
pub fn parse_lsn(text: &str) -> Result<u64, PositionError> {
    let (high, low) = text.split_once('/').ok_or(PositionError)?;
    let high = u32::from_str_radix(high, 16).map_err(|_| PositionError)?;
    let low = u32::from_str_radix(low, 16).map_err(|_| PositionError)?;
    Ok(u64::from(high) << 32 | u64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back() {
        for position in [Position::Wal(0x16_B374_D848), Position::Events(BTreeMap::from([(0, 12), (7, 0)]))] {
            assert_eq!(position.to_string().parse::<Position>(), Ok(position));
        }
        assert_eq!(parse_lsn("16/B374D848"), Ok(0x16_B374_D848));
        for text in ["", "w-", "w-12", "e-", "e-1", "e-1.x", "x-1", "w-00000000000000zz"] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text}");
        }
    }
}
