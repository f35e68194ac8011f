//! Reading data files (parquet, CSV, JSON) for imports, through an engine of its own that holds no data.

use duckdb::Connection;
use duckdb::types::{TimeUnit, ValueRef};

/// One value of a row that was read from a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(String),
    /// A time, microseconds since 1970 UTC.
    Micros(i64),
}

impl Cell {
    /// The whole number in it; 0 for anything else.
    #[must_use]
    pub const fn int(&self) -> i64 {
        match self {
            Self::Int(value) | Self::Micros(value) => *value,
            _ => 0,
        }
    }

    /// The text in it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Files cannot be read as asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the files: {0}")]
pub struct FilesError(#[from] duckdb::Error);

/// A reader of files.
pub struct Files {
    connection: Connection,
}

impl Files {
    /// A reader.
    ///
    /// # Errors
    /// When the engine does not start.
    pub fn open() -> Result<Self, FilesError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("set threads = 2; set memory_limit = '1GB'; set timezone = 'UTC';")?;
        Ok(Self { connection })
    }

    /// Runs a query over files and gives each row to a function, which may end the reading by returning false.
    ///
    /// # Errors
    /// When the query fails or a column has a type that [`Cell`] does not hold.
    pub fn for_each(&self, sql: &str, mut row: impl FnMut(&[Cell]) -> bool) -> Result<(), FilesError> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let columns = rows.as_ref().map_or(0, duckdb::Statement::column_count);
        let mut cells = vec![Cell::Null; columns];
        while let Some(found) = rows.next()? {
            for (index, cell) in cells.iter_mut().enumerate() {
                *cell = read(found.get_ref(index)?, index)?;
            }
            if !row(&cells) {
                break;
            }
        }
        Ok(())
    }
}

fn read(value: ValueRef<'_>, column: usize) -> Result<Cell, duckdb::Error> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Boolean(value) => Cell::Int(i64::from(value)),
        ValueRef::Int(value) => Cell::Int(i64::from(value)),
        ValueRef::BigInt(value) => Cell::Int(value),
        ValueRef::Double(value) => Cell::Float(value),
        ValueRef::Text(bytes) => Cell::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Timestamp(TimeUnit::Microsecond, micros) => Cell::Micros(micros),
        other => return Err(duckdb::Error::InvalidColumnType(column, String::new(), other.data_type())),
    })
}
