//! Arrow answers as JSON.

use duckdb::Arrow;
use duckdb::arrow::array::{Array, ArrayRef, AsArray};
use duckdb::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use duckdb::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value as Json};
use serving::value::{Kind, Value};
use serving::{Limits, QueryColumn, QueryResult, ServingError};

/// Deepest nesting of lists and structs that is shown.
const DEPTH_MAX: usize = 32;

/// Reads an answer up to the limits.
pub(crate) fn collect(batches: Arrow<'_>, limits: Limits) -> Result<QueryResult, ServingError> {
    let schema = batches.get_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| QueryColumn { name: field.name().clone(), kind: name_of(field.data_type()) });
    let mut result = QueryResult { columns: columns.collect(), rows: Vec::new(), truncated: false };
    let mut bytes = 0;
    for batch in batches {
        for row in 0..batch.num_rows() {
            if result.rows.len() == limits.rows {
                result.truncated = true;
                return Ok(result);
            }
            let values: Vec<Json> = batch.columns().iter().map(|column| value(column, row, 0)).collect();
            bytes += values.iter().map(size).sum::<usize>();
            if bytes > limits.bytes {
                return Err(ServingError::TooLarge(limits.bytes));
            }
            result.rows.push(values);
        }
    }
    Ok(result)
}

/// About the bytes that a value takes as JSON.
fn size(json: &Json) -> usize {
    match json {
        Json::String(text) => text.len() + 3,
        Json::Array(items) => items.iter().map(size).sum::<usize>() + 2,
        Json::Object(fields) => fields.iter().map(|(name, value)| name.len() + 4 + size(value)).sum::<usize>() + 2,
        _ => 8,
    }
}

fn name_of(data: &DataType) -> String {
    match data {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(digits, scale) => format!("decimal({digits},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::List(_) | DataType::LargeList(_) => "list".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

fn value(column: &ArrayRef, row: usize, depth: usize) -> Json {
    if column.is_null(row) || depth > DEPTH_MAX {
        return Json::Null;
    }
    match column.data_type() {
        DataType::Boolean => Json::Bool(column.as_boolean().value(row)),
        DataType::Int8 => Json::from(column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => Json::from(column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => Json::from(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Json::from(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => Json::from(column.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => Json::from(column.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => Json::from(column.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => Json::from(column.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Json::from(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Json::from(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Json::from(column.as_string_view().value(row)),
        DataType::Decimal128(_, 0) => {
            let whole = column.as_primitive::<Decimal128Type>().value(row);
            i64::try_from(whole).map_or_else(|_| Json::from(whole.to_string()), Json::from)
        }
        DataType::Date32 => Value::Date(column.as_primitive::<Date32Type>().value(row)).to_json(Kind::Date),
        DataType::Timestamp(unit, _) => moment(column, *unit, row),
        DataType::List(_) => list(&column.as_list::<i32>().value(row), depth),
        DataType::LargeList(_) => list(&column.as_list::<i64>().value(row), depth),
        DataType::Struct(fields) => {
            let parts = column.as_struct();
            let pair = |(field, part): (&duckdb::arrow::datatypes::FieldRef, &ArrayRef)| {
                (field.name().clone(), value(part, row, depth + 1))
            };
            Json::Object(fields.iter().zip(parts.columns()).map(pair).collect::<Map<_, _>>())
        }
        _ => shown(column, row),
    }
}

/// JSON knows no infinity; text keeps what it was.
fn float(number: f64) -> Json {
    serde_json::Number::from_f64(number).map_or_else(|| Json::from(number.to_string()), Json::Number)
}

fn moment(column: &ArrayRef, unit: TimeUnit, row: usize) -> Json {
    let micros = match unit {
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().value(row).checked_mul(1_000_000),
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().value(row).checked_mul(1_000),
        TimeUnit::Microsecond => Some(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        TimeUnit::Nanosecond => Some(column.as_primitive::<TimestampNanosecondType>().value(row) / 1_000),
    };
    micros.map_or(Json::Null, |micros| Value::Timestamp(micros).to_json(Kind::Timestamp))
}

fn list(items: &ArrayRef, depth: usize) -> Json {
    Json::Array((0..items.len()).map(|item| value(items, item, depth + 1)).collect())
}

/// Everything else as DuckDB's Arrow shows it.
fn shown(column: &ArrayRef, row: usize) -> Json {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options);
    formatter.ok().and_then(|formatter| formatter.value(row).try_to_string().ok()).map_or(Json::Null, Json::from)
}
