//! Decoder of `pgoutput`, protocol version 1: bytes in, messages out. Borrows from its input; never panics, whatever it is given.
//!
//! The ends of transactions and the messages of programs are not among them: the transport hands them over as events of their own.

/// Why bytes are no message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The message ends too early.
    #[error("message `{0}` ends too early")]
    Truncated(char),
    /// The message goes on after its end.
    #[error("message `{0}` has {1} bytes too many")]
    Trailing(char, usize),
    /// A tag that version 1 does not have.
    #[error("unknown tag {0:#04x} in message `{1}`")]
    UnknownTag(u8, char),
    /// A name is not UTF-8.
    #[error("a name in message `{0}` is not UTF-8")]
    Name(char),
    /// There are no bytes.
    #[error("empty message")]
    Empty,
}

/// A value of a row, in PostgreSQL's text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// Null.
    Null,
    /// A large value that did not change and was not sent.
    Unchanged,
    /// The value.
    Text(&'a [u8]),
}

/// The values of a row, in the order of its relation's columns.
pub(crate) type Tuple<'a> = Vec<Cell<'a>>;

/// The row before a change, as far as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Old<'a> {
    /// Only the columns of the replica identity; the others are null.
    Key(Tuple<'a>),
    /// The whole row (`REPLICA IDENTITY FULL`).
    Row(Tuple<'a>),
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column<'a> {
    /// Whether it belongs to the replica identity; under `FULL`, every column does.
    pub(crate) key: bool,
    /// Name.
    pub(crate) name: &'a str,
    /// Type.
    pub(crate) type_oid: u32,
}

/// The shape of a table, sent before its first row and after each change of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation<'a> {
    /// Its number, by which rows refer to it.
    pub(crate) id: u32,
    /// Schema; empty for `pg_catalog`.
    pub(crate) schema: &'a str,
    /// Name.
    pub(crate) name: &'a str,
    /// Columns.
    pub(crate) columns: Vec<Column<'a>>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Where the transaction comes from, when it was replicated to the server itself.
    Origin,
    /// A type of somebody's own.
    Type,
    /// A table's shape.
    Relation(Relation<'a>),
    /// A row was inserted.
    Insert {
        /// The table.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was updated.
    Update {
        /// The table.
        relation: u32,
        /// The row before; none when its key did not change and the identity is not full.
        old: Option<Old<'a>>,
        /// The row after.
        new: Tuple<'a>,
    },
    /// A row was deleted.
    Delete {
        /// The table.
        relation: u32,
        /// The row before.
        old: Old<'a>,
    },
    /// Tables were truncated, all at once.
    Truncate {
        /// The tables.
        relations: Vec<u32>,
    },
}

/// Decodes one message.
///
/// # Errors
/// When the bytes are no message of protocol version 1.
pub(crate) fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&tag, rest) = bytes.split_first().ok_or(DecodeError::Empty)?;
    let mut reader = Reader { tag: char::from(tag), rest };
    let message = match tag {
        b'I' => insert(&mut reader)?,
        b'U' => update(&mut reader)?,
        b'D' => delete(&mut reader)?,
        b'R' => relation(&mut reader)?,
        b'T' => truncate(&mut reader)?,
        b'O' => {
            reader.u64()?;
            reader.name()?;
            Message::Origin
        }
        b'Y' => {
            reader.u32()?;
            reader.name()?;
            reader.name()?;
            Message::Type
        }
        other => return Err(DecodeError::UnknownTag(other, reader.tag)),
    };
    if reader.rest.is_empty() { Ok(message) } else { Err(DecodeError::Trailing(reader.tag, reader.rest.len())) }
}

fn insert<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let relation = reader.u32()?;
    reader.expect(b'N')?;
    Ok(Message::Insert { relation, new: reader.tuple()? })
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let relation = reader.u32()?;
    let old = match reader.u8()? {
        b'N' => return Ok(Message::Update { relation, old: None, new: reader.tuple()? }),
        b'K' => Old::Key(reader.tuple()?),
        b'O' => Old::Row(reader.tuple()?),
        other => return Err(DecodeError::UnknownTag(other, reader.tag)),
    };
    reader.expect(b'N')?;
    Ok(Message::Update { relation, old: Some(old), new: reader.tuple()? })
}

fn delete<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let relation = reader.u32()?;
    let old = match reader.u8()? {
        b'K' => Old::Key(reader.tuple()?),
        b'O' => Old::Row(reader.tuple()?),
        other => return Err(DecodeError::UnknownTag(other, reader.tag)),
    };
    Ok(Message::Delete { relation, old })
}

fn relation<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let (id, schema, name) = (reader.u32()?, reader.name()?, reader.name()?);
    // The kind of replica identity; the columns tell which of them it has.
    reader.u8()?;
    let count = reader.u16()?;
    // A column takes ten bytes at least; so a lie about the count cannot ask for much memory.
    let mut columns = Vec::with_capacity(usize::from(count).min(reader.rest.len() / 10));
    for _ in 0..count {
        let flags = reader.u8()?;
        let (name, type_oid) = (reader.name()?, reader.u32()?);
        reader.u32()?;
        columns.push(Column { key: flags & 1 == 1, name, type_oid });
    }
    Ok(Message::Relation(Relation { id, schema, name, columns }))
}

fn truncate<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    let count = reader.u32()?;
    // Whether it cascades and restarts sequences.
    reader.u8()?;
    let mut relations = Vec::with_capacity((count as usize).min(reader.rest.len() / 4));
    for _ in 0..count {
        relations.push(reader.u32()?);
    }
    Ok(Message::Truncate { relations })
}

struct Reader<'a> {
    tag: char,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated(self.tag))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated(self.tag))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), DecodeError> {
        match self.u8()? {
            tag if tag == wanted => Ok(()),
            tag => Err(DecodeError::UnknownTag(tag, self.tag)),
        }
    }

    fn name(&mut self) -> Result<&'a str, DecodeError> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(DecodeError::Truncated(self.tag))?;
        let name = std::str::from_utf8(self.take(end)?).map_err(|_| DecodeError::Name(self.tag))?;
        self.take(1)?;
        Ok(name)
    }

    fn tuple(&mut self) -> Result<Tuple<'a>, DecodeError> {
        let count = self.u16()?;
        let mut cells = Vec::with_capacity(usize::from(count).min(self.rest.len()));
        for _ in 0..count {
            cells.push(match self.u8()? {
                b'n' => Cell::Null,
                b'u' => Cell::Unchanged,
                b't' => {
                    let length = self.u32()?;
                    Cell::Text(self.take(length as usize)?)
                }
                other => return Err(DecodeError::UnknownTag(other, self.tag)),
            });
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_whole_update() {
        let mut bytes = vec![b'U', 0, 0, 0, 7, b'O', 0, 2, b't', 0, 0, 0, 1, b'1', b'n'];
        bytes.extend([b'N', 0, 2, b't', 0, 0, 0, 1, b'1', b'u']);
        let old = Some(Old::Row(vec![Cell::Text(b"1"), Cell::Null]));
        let expected = Message::Update { relation: 7, old, new: vec![Cell::Text(b"1"), Cell::Unchanged] };
        assert_eq!(decode(&bytes), Ok(expected));
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        bytes.push(0);
        assert_eq!(decode(&bytes), Err(DecodeError::Trailing('U', 1)));
    }

    #[test]
    fn reads_a_truncate_of_several_tables() {
        let bytes = [b'T', 0, 0, 0, 2, 2, 0, 0, 0, 1, 0, 0, 0, 9];
        assert_eq!(decode(&bytes), Ok(Message::Truncate { relations: vec![1, 9] }));
    }

    #[test]
    fn a_lie_about_counts_costs_nothing() {
        assert_eq!(decode(&[b'T', 255, 255, 255, 255, 0]), Err(DecodeError::Truncated('T')));
        assert_eq!(decode(&[b'I', 0, 0, 0, 1, b'N', 255, 255]), Err(DecodeError::Truncated('I')));
    }

    proptest! {
        #[test]
        fn never_panics(tag in "[ORYIUDTX]", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let message: Vec<u8> = tag.bytes().chain(bytes).collect();
            let _ = decode(&message);
        }

        #[test]
        fn never_panics_on_almost_right(cells in prop::collection::vec((0_usize..4, prop::collection::vec(any::<u8>(), 0..20)), 0..20), cut in 0_usize..200, flip in any::<u8>()) {
            let mut message = vec![b'I', 0, 0, 0, 1, b'N', 0, cells.len() as u8];
            for (kind, text) in &cells {
                message.push(b"nutb"[*kind]);
                if *kind >= 2 {
                    message.extend((text.len() as u32).to_be_bytes());
                    message.extend(text);
                }
            }
            let at = cut % message.len();
            message[at] ^= flip;
            let _ = decode(&message);
            let _ = decode(&message[..at]);
        }
    }
}
