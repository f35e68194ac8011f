//! A trace on its way to another person: its state in pieces that fit into records. A piece is a state of the trace like any other,
//! so the new owner unites them; each has a number, so that one that comes twice is united once.

use super::person::{LAYOUT, Trace};
use crate::{ProcessingError, codec};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bus::limits::MAX_RECORD_BYTES;
use serde::{Deserialize, Serialize};

/// Name of pieces in errors.
const HANDOVER: &str = "handover";
/// Bytes of a piece: a third more in base64, and beside it room for ids and for one thing that did not fit any more.
const PIECE_BYTES: usize = MAX_RECORD_BYTES / 2;

/// A piece. Its number is that of the move that took it away first, and stays when it is sent on.
#[derive(Serialize, Deserialize)]
pub struct Piece {
    /// Number of the move.
    pub move_no: u64,
    /// Number of the piece in that move.
    pub part: u32,
    /// What is in it.
    pub trace: Trace,
}

impl Piece {
    /// Reads a piece.
    ///
    /// # Errors
    /// When another version of the program wrote it, or it is damaged.
    pub fn read(text: &str) -> Result<Self, ProcessingError> {
        let bytes = STANDARD_NO_PAD.decode(text.as_bytes());
        let bytes =
            bytes.map_err(|error| ProcessingError::Damaged { namespace: HANDOVER, reason: error.to_string() })?;
        codec::decode(HANDOVER, LAYOUT, &bytes)
    }

    fn write(&self) -> Result<String, ProcessingError> {
        Ok(STANDARD_NO_PAD.encode(codec::encode(HANDOVER, LAYOUT, self)?))
    }
}

/// The state of a trace, in pieces as records carry them.
///
/// # Errors
/// When the state cannot be encoded, which no state of ours is.
pub fn pieces(trace: Trace, move_no: u64) -> Result<Vec<String>, ProcessingError> {
    let whole = codec::length(HANDOVER, &trace)? <= PIECE_BYTES;
    let traces = if whole { vec![trace] } else { split(trace)? };
    (0..).zip(traces).map(|(part, trace)| Piece { move_no, part, trace }.write()).collect()
}

fn split(mut trace: Trace) -> Result<Vec<Trace>, ProcessingError> {
    let mut split = Split::default();
    let visits = std::mem::take(&mut trace.visits);
    let (counters, acts) = (std::mem::take(&mut trace.counters), std::mem::take(&mut trace.acts));
    let (orders, returns) = (std::mem::take(&mut trace.orders), std::mem::take(&mut trace.returns));
    let fired = std::mem::take(&mut trace.fired);
    // What is left is of bounded size, and comes first.
    split.open = trace;
    split.add(counters, |trace, counter| trace.counters.extend([counter]))?;
    split.add(visits.one_by_one(), |trace, visits| trace.visits.append(visits))?;
    split.add(acts, |trace, act| trace.acts.push(act))?;
    split.add(fired, |trace, fired| trace.fired.extend([fired]))?;
    split.add(orders, |trace, order| trace.orders.extend([order]))?;
    split.add(returns, |trace, taken| trace.returns.extend([taken]))?;
    split.done.push(split.open);
    Ok(split.done)
}

#[derive(Default)]
struct Split {
    done: Vec<Trace>,
    open: Trace,
    bytes: usize,
}

impl Split {
    /// Adds things one by one; what does not fit begins a new piece.
    fn add<T: Serialize>(
        &mut self,
        things: impl IntoIterator<Item = T>,
        put: impl Fn(&mut Trace, T),
    ) -> Result<(), ProcessingError> {
        for thing in things {
            let bytes = codec::length(HANDOVER, &thing)?;
            if self.bytes > 0 && self.bytes + bytes > PIECE_BYTES {
                self.done.push(std::mem::take(&mut self.open));
                self.bytes = 0;
            }
            self.bytes += bytes;
            put(&mut self.open, thing);
        }
        Ok(())
    }
}
