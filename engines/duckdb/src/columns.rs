//! Rows as Arrow columns: the way in which DuckDB takes many rows at once.

use duckdb::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryBuilder, Int64Array, StringBuilder,
    TimestampMicrosecondArray,
};
use duckdb::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use duckdb::arrow::error::ArrowError;
use duckdb::arrow::record_batch::RecordBatch;
use serving::value::{DECIMAL_SCALE, Kind, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Digits of decimals.
const DECIMAL_DIGITS: u8 = 18;

/// A column's field; UUIDs carry Arrow's own mark.
pub(crate) fn field(name: &str, kind: Kind) -> Field {
    let data = match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int => DataType::Int64,
        Kind::Decimal => DataType::Decimal128(DECIMAL_DIGITS, DECIMAL_SCALE as i8),
        Kind::Text | Kind::Json => DataType::Utf8,
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::Date => DataType::Date32,
        Kind::Uuid => DataType::FixedSizeBinary(16),
    };
    let field = Field::new(name, data, true);
    if kind == Kind::Uuid {
        field.with_metadata(HashMap::from([("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())]))
    } else {
        field
    }
}

/// A column of values; a value of another kind becomes null.
pub(crate) fn array<'a>(kind: Kind, values: impl Iterator<Item = &'a Value>) -> Result<ArrayRef, ArrowError> {
    Ok(match kind {
        Kind::Bool => Arc::new(
            values
                .map(|value| if let Value::Bool(value) = value { Some(*value) } else { None })
                .collect::<BooleanArray>(),
        ),
        Kind::Int => Arc::new(
            values.map(|value| if let Value::Int(value) = value { Some(*value) } else { None }).collect::<Int64Array>(),
        ),
        Kind::Decimal => {
            let values =
                values.map(|value| if let Value::Decimal(value) = value { Some(i128::from(*value)) } else { None });
            Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(DECIMAL_DIGITS, DECIMAL_SCALE as i8)?)
        }
        Kind::Timestamp => {
            let values = values.map(|value| if let Value::Timestamp(value) = value { Some(*value) } else { None });
            Arc::new(values.collect::<TimestampMicrosecondArray>())
        }
        Kind::Date => Arc::new(
            values
                .map(|value| if let Value::Date(value) = value { Some(*value) } else { None })
                .collect::<Date32Array>(),
        ),
        Kind::Text | Kind::Json => {
            let mut texts = StringBuilder::new();
            for value in values {
                texts.append_option(if let Value::Text(text) = value { Some(text) } else { None });
            }
            Arc::new(texts.finish())
        }
        Kind::Uuid => {
            let mut ids = FixedSizeBinaryBuilder::new(16);
            for value in values {
                match value {
                    Value::Uuid(id) => ids.append_value(id.to_be_bytes())?,
                    _ => ids.append_null(),
                }
            }
            Arc::new(ids.finish())
        }
    })
}

/// A record batch of columns.
pub(crate) fn batch(fields: Vec<Field>, arrays: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}
