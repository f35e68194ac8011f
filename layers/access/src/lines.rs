//! Splits a stream of bytes into lines without keeping more than one line and one piece of the stream.

use bytes::{Buf as _, Bytes, BytesMut};

/// A line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Its bytes, without the line feed.
    Whole(Bytes),
    /// It was longer than allowed, and was dropped.
    TooLong,
}

/// The lines of a stream.
#[derive(Debug)]
pub(crate) struct Lines {
    held: BytesMut,
    /// Bytes of `held` that are known to hold no line feed.
    searched: usize,
    longest: usize,
    dropping: bool,
}

impl Lines {
    /// Lines of at most so many bytes.
    pub(crate) fn new(longest: usize) -> Self {
        Self { held: BytesMut::new(), searched: 0, longest, dropping: false }
    }

    /// Takes the next piece of the stream.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
    }

    /// The next line that has its end.
    pub(crate) fn next(&mut self) -> Option<Line> {
        match self.held[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let line = self.held.split_to(self.searched + at).freeze();
                self.held.advance(1);
                self.searched = 0;
                Some(self.judged(line))
            }
            None => {
                self.searched = self.held.len();
                if self.searched > self.longest {
                    self.held.clear();
                    self.searched = 0;
                    self.dropping = true;
                }
                None
            }
        }
    }

    /// What is left when the stream has ended: a last line without a line feed.
    pub(crate) fn last(&mut self) -> Option<Line> {
        let line = self.held.split().freeze();
        self.searched = 0;
        (self.dropping || !line.is_empty()).then(|| self.judged(line))
    }

    fn judged(&mut self, line: Bytes) -> Line {
        let dropped = std::mem::take(&mut self.dropping);
        if dropped || line.len() > self.longest { Line::TooLong } else { Line::Whole(line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8], piece: usize, longest: usize) -> Vec<Line> {
        let mut lines = Lines::new(longest);
        let mut all = Vec::new();
        for piece in text.chunks(piece) {
            lines.push(piece);
            while let Some(line) = lines.next() {
                all.push(line);
            }
        }
        all.extend(lines.last());
        all
    }

    #[test]
    fn pieces_do_not_matter() {
        let text = b"one\n\ntwo two\r\nthis line is far too long\nfour\nfive";
        let whole = |text: &'static str| Line::Whole(Bytes::from(text));
        let expected = vec![whole("one"), whole(""), whole("two two\r"), Line::TooLong, whole("four"), whole("five")];
        for piece in 1..text.len() {
            assert_eq!(split(text, piece, 10), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_room() {
        let mut lines = Lines::new(1000);
        for _ in 0..10_000 {
            lines.push(&[b'x'; 512]);
            assert_eq!(lines.next(), None);
            assert!(lines.held.len() <= 1512);
        }
        assert_eq!(lines.last(), Some(Line::TooLong));
        assert_eq!(lines.last(), None);
    }
}
