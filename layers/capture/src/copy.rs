//! Rows of `COPY … TO STDOUT` in text format.

use bytes::{Buf, BytesMut};

/// Splits what arrives into rows; a row may come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    buffer: BytesMut,
}

impl Rows {
    /// Takes in a piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next complete row, without its line end.
    pub(crate) fn next_row(&mut self) -> Option<BytesMut> {
        // A line end inside a value is escaped, so every one that is there ends a row.
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let row = self.buffer.split_to(end);
        self.buffer.advance(1);
        Some(row)
    }

    /// Whether a row has begun and not ended.
    pub(crate) fn is_torn(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// The values of a row; none is null.
pub(crate) fn values(row: &[u8]) -> Vec<Option<Vec<u8>>> {
    row.split(|byte| *byte == b'\t').map(|field| (field != b"\\N").then(|| unescape(field))).collect()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'b') => out.push(8),
            Some(b't') => out.push(b'\t'),
            Some(b'n') => out.push(b'\n'),
            Some(b'v') => out.push(11),
            Some(b'f') => out.push(12),
            Some(b'r') => out.push(b'\r'),
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_rows_in_pieces() {
        let mut rows = Rows::default();
        rows.push(b"a\t\\N\t");
        assert!(rows.next_row().is_none() && rows.is_torn());
        rows.push(b"x\\ty\\\\\\n\n\n");
        let first = rows.next_row().map(|row| values(&row));
        assert_eq!(first, Some(vec![Some(b"a".to_vec()), None, Some(b"x\ty\\\n".to_vec())]));
        assert_eq!(rows.next_row().map(|row| values(&row)), Some(vec![Some(Vec::new())]));
        assert!(!rows.is_torn());
    }

    proptest! {
        #[test]
        fn never_panics(row in prop::collection::vec(prop::sample::select(b"\\Nbt\tx".to_vec()), 0..30)) {
            values(&row);
        }
    }
}
