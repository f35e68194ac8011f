//! The writer: one transaction a batch.
//!
//! A change that the store made just now (`created` later than anything seen of the table) cannot have a row here yet and is
//! only added. For all others the rows of their keys are looked up once, by joining the keys with the table; what stands there
//! is replaced, unless it is newer. Versions of rows that are gone are kept in `_serving.gone`, so that an older change that
//! comes later, through another partition, does not bring them back.

use crate::columns::{array, batch as record_batch, field};
use crate::{schema, store};
use bus::TopicPartition;
use duckdb::arrow::array::{ArrayRef, Int64Array, StringArray};
use duckdb::arrow::datatypes::{DataType, Field};
use duckdb::arrow::record_batch::RecordBatch;
use duckdb::{Connection, params};
use serving::ServingError;
use serving::batch::{Batch, KeyState, Row, TableBatch, Version, key_bytes};
use serving::tables::{Order, Table, View};
use serving::value::{Kind, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

/// Rows of the log of positions at which it is written anew.
const POSITION_ROWS_MAX: usize = 20_000;

/// The writing connection and what it remembers.
pub(crate) struct Writer {
    connection: Connection,
    tables: &'static [Table],
    known: Known,
}

/// What the committed rows say, kept in memory.
#[derive(Clone, Debug, Default)]
struct Known {
    positions: BTreeMap<TopicPartition, i64>,
    position_rows: usize,
    /// Latest version seen, by table.
    latest: HashMap<usize, Version>,
    /// Versions of rows that are gone, by table and key.
    gone: HashMap<(usize, Vec<u8>), Version>,
    /// Tables that were emptied, and when.
    emptied: HashMap<usize, Version>,
}

/// What a batch adds to [`Known`], once it is committed.
#[derive(Default)]
struct News {
    latest: HashMap<usize, Version>,
    gone: Vec<(usize, Vec<u8>, Version)>,
    emptied: Vec<(usize, Version)>,
    position_rows: usize,
}

impl Writer {
    pub fn new(connection: Connection) -> Self {
        Self { connection, tables: &[], known: Known::default() }
    }

    pub fn migrate(&mut self, tables: &'static [Table], views: &'static [View]) -> Result<(), ServingError> {
        schema::migrate(&self.connection, tables, views)?;
        self.tables = tables;
        self.known = self.remember().map_err(store)?;
        Ok(())
    }

    pub const fn positions(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.known.positions
    }

    pub fn checkpoint(&self) -> Result<(), ServingError> {
        self.connection.execute_batch("checkpoint").map_err(store)
    }

    pub fn apply(&mut self, batch: &Batch) -> Result<(), ServingError> {
        // One that a panic left open.
        if self.connection.execute_batch("begin transaction").is_err() {
            self.connection.execute_batch("rollback; begin transaction").map_err(store)?;
        }
        let written =
            self.write(batch).and_then(|news| self.connection.execute_batch("commit").map_err(store).map(|()| news));
        match written {
            Ok(news) => {
                self.learn(batch, news);
                Ok(())
            }
            Err(error) => {
                if let Err(rollback) = self.connection.execute_batch("rollback") {
                    tracing::debug!(target: "serving", %rollback, "nothing to roll back");
                }
                Err(error)
            }
        }
    }

    fn learn(&mut self, batch: &Batch, news: News) {
        for (at, next) in batch.progress() {
            self.known.positions.insert(at.clone(), *next);
        }
        self.known.position_rows = news.position_rows;
        self.known.latest.extend(news.latest);
        // Both only ever hold versions later than what is known: what is older was left out.
        self.known.gone.extend(news.gone.into_iter().map(|(table, key, version)| ((table, key), version)));
        self.known.emptied.extend(news.emptied);
    }

    /// Reads back what an earlier process committed.
    fn remember(&self) -> duckdb::Result<Known> {
        let mut known = Known::default();
        let mut read = self
            .connection
            .prepare("select topic, part, max(next), count(*) from _serving.positions group by topic, part")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            known.positions.insert(TopicPartition::new(row.get::<_, String>(0)?, row.get(1)?), row.get(2)?);
            known.position_rows += usize::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
        }
        let mut read = self.connection.prepare("select tbl, key, v1, v2 from _serving.gone order by v1, v2")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let (name, key, version) = (row.get::<_, String>(0)?, row.get::<_, String>(1)?, (row.get(2)?, row.get(3)?));
            let Some(table) = self.tables.iter().position(|table| table.name == name) else { continue };
            known.latest.insert(table, version);
            match unhex(&key) {
                Some(key) if !key.is_empty() => known.gone.insert((table, key), version),
                _ => known.emptied.insert(table, version),
            };
        }
        for (number, table) in self.tables.iter().enumerate().filter(|(_, table)| table.order == Order::Version) {
            let sql = format!(
                "select _lsn, max(_seq) from {0} where _lsn = (select max(_lsn) from {0}) group by _lsn",
                table.name
            );
            let mut read = self.connection.prepare(&sql)?;
            let mut rows = read.query([])?;
            if let Some(row) = rows.next()? {
                let version: Version = (row.get(0)?, row.get(1)?);
                known.latest.entry(number).and_modify(|latest| *latest = version.max(*latest)).or_insert(version);
            }
        }
        Ok(known)
    }

    fn write(&self, batch: &Batch) -> Result<News, ServingError> {
        let mut news = News::default();
        for (number, changes) in batch.tables() {
            let Some(table) = self.tables.get(*number).filter(|_| !changes.is_empty()) else { continue };
            self.write_table(*number, table, changes, &mut news)?;
        }
        self.write_gone(&news)?;
        self.write_positions(batch, &mut news)?;
        Ok(news)
    }

    fn write_table(
        &self,
        number: usize,
        table: &Table,
        changes: &TableBatch,
        news: &mut News,
    ) -> Result<(), ServingError> {
        let latest = self.known.latest.get(&number).copied();
        let known = self.known.emptied.get(&number);
        if let Some(at) = changes.truncated.filter(|at| known.is_none_or(|known| known < at)) {
            let sql = format!("delete from {} where (_lsn, _seq) < (?, ?)", table.name);
            self.connection.execute(&sql, params![at.0, at.1]).map_err(store)?;
            news.emptied.push((number, at));
        }
        let fits = |state: &&KeyState| self.is_current(number, table, state);
        let (fresh, other): (Vec<&KeyState>, Vec<&KeyState>) =
            changes.keys.iter().filter(fits).partition(|state| is_fresh(table, state, latest));
        let mut rows: Vec<(&Row, Version)> = Vec::with_capacity(changes.keys.len());
        let mut filled: Vec<(Row, Version)> = Vec::new();
        let standing = self.replace(table, &other, &mut filled)?;
        for (place, state) in other.iter().enumerate() {
            if standing.contains(&place) {
                continue;
            }
            let whole = |row: &&Row| !row.contains(&Value::Unchanged);
            rows.extend(state.rows.iter().filter(whole).map(|row| (row, state.version)));
        }
        rows.extend(fresh.iter().flat_map(|state| state.rows.iter().map(|row| (row, state.version))));
        rows.extend(filled.iter().map(|(row, version)| (row, *version)));
        self.append(table, &rows)?;
        if table.order == Order::Version {
            let dead = changes.keys.iter().filter(|state| state.rows.is_empty()).filter(fits);
            news.gone.extend(dead.map(|state| (number, key_bytes(&state.key), state.version)));
            let newest = changes.keys.iter().map(|state| state.version).chain(changes.truncated).chain(latest).max();
            news.latest.extend(newest.map(|newest| (number, newest)));
        }
        Ok(())
    }

    /// Whether nothing newer is known to have taken the row away.
    fn is_current(&self, number: usize, table: &Table, state: &KeyState) -> bool {
        if table.order != Order::Version {
            return true;
        }
        if self.known.emptied.get(&number).is_some_and(|at| *at > state.version) {
            return false;
        }
        if self.known.gone.is_empty() {
            return true;
        }
        self.known.gone.get(&(number, key_bytes(&state.key))).is_none_or(|gone| *gone < state.version)
    }

    /// Takes away the rows of some keys, and returns the places of those whose rows are newer and stay. Rows with unchanged
    /// columns are completed from what stood there.
    fn replace(
        &self,
        table: &Table,
        states: &[&KeyState],
        filled: &mut Vec<(Row, Version)>,
    ) -> Result<HashSet<usize>, ServingError> {
        let mut standing = HashSet::new();
        if states.is_empty() || table.order == Order::Append {
            return Ok(standing);
        }
        self.stage(table, states)?;
        let [first, second] = table.hidden();
        let mut on: Vec<String> = table.key_names().map(|name| format!("t.\"{name}\" = s.\"{name}\"")).collect();
        let newer = if table.order == Order::Stream {
            on.push(format!("t.{first} = s.{first}"));
            format!("t.{second} >= s.{second}")
        } else {
            format!("(t.{first} > s.{first} or (t.{first} = s.{first} and t.{second} >= s.{second}))")
        };
        let sql = format!(
            "select s.place, t.rowid, {newer} from {} t join temp.staged s on {}",
            table.name,
            on.join(" and ")
        );
        let mut read = self.connection.prepare(&sql).map_err(store)?;
        let mut found = read.query([]).map_err(store)?;
        let mut old: BTreeMap<usize, i64> = BTreeMap::new();
        let mut rowids = Vec::new();
        while let Some(row) = found.next().map_err(store)? {
            let place = usize::try_from(row.get::<_, i64>(0).map_err(store)?).unwrap_or(usize::MAX);
            let rowid: i64 = row.get(1).map_err(store)?;
            if row.get::<_, bool>(2).map_err(store)? {
                standing.insert(place);
            } else {
                old.insert(place, rowid);
                rowids.push(rowid);
            }
        }
        for (place, state) in states.iter().enumerate().filter(|(place, _)| !standing.contains(place)) {
            for row in state.rows.iter().filter(|row| row.contains(&Value::Unchanged)) {
                filled.push((self.fill(table, row, old.get(&place).copied())?, state.version));
            }
        }
        self.delete(table, &rowids)?;
        Ok(standing)
    }

    /// Puts keys, versions and places into a temporary table.
    fn stage(&self, table: &Table, states: &[&KeyState]) -> Result<(), ServingError> {
        let [first, second] = table.hidden();
        let keys: Vec<(usize, &str, Kind)> = table
            .columns
            .iter()
            .take(table.key)
            .enumerate()
            .map(|(place, column)| (place, column.name, column.kind))
            .collect();
        let mut sql = "create or replace temp table staged (".to_owned();
        for (_, name, kind) in &keys {
            let _ = write!(sql, "\"{name}\" {}, ", schema::type_of(*kind));
        }
        let _ = write!(sql, "{first} bigint, {second} bigint, place bigint)");
        self.connection.execute_batch(&sql).map_err(store)?;
        let mut fields: Vec<Field> = keys.iter().map(|(_, name, kind)| field(name, *kind)).collect();
        let mut arrays = Vec::with_capacity(keys.len() + 3);
        for (place, _, kind) in &keys {
            let values = states.iter().map(|state| state.key.get(*place).unwrap_or(&Value::Null));
            arrays.push(array(*kind, values).map_err(arrow)?);
        }
        fields.extend([first, second, "place"].map(|name| Field::new(name, DataType::Int64, true)));
        let ints = |of: &dyn Fn(usize, &KeyState) -> i64| -> ArrayRef {
            Arc::new(states.iter().enumerate().map(|(place, state)| Some(of(place, state))).collect::<Int64Array>())
        };
        arrays.push(ints(&|_, state| state.version.0));
        arrays.push(ints(&|_, state| state.version.1));
        arrays.push(ints(&|place, _| i64::try_from(place).unwrap_or(i64::MAX)));
        self.append_batch("staged", Some("temp"), record_batch(fields, arrays).map_err(arrow)?)
    }

    fn delete(&self, table: &Table, rowids: &[i64]) -> Result<(), ServingError> {
        for chunk in rowids.chunks(2_000) {
            let list: Vec<String> = chunk.iter().map(i64::to_string).collect();
            let sql = format!("delete from {} where rowid in ({})", table.name, list.join(","));
            self.connection.execute_batch(&sql).map_err(store)?;
        }
        Ok(())
    }

    /// A row with its unchanged columns as the served row has them; null where no row is served.
    fn fill(&self, table: &Table, row: &Row, rowid: Option<i64>) -> Result<Row, ServingError> {
        let mut row = row.clone();
        for (value, column) in row.iter_mut().zip(table.columns).filter(|(value, _)| **value == Value::Unchanged) {
            *value = Value::Null;
            let Some(rowid) = rowid else { continue };
            let sql = format!("select cast(\"{}\" as varchar) from {} where rowid = {rowid}", column.name, table.name);
            let text: Option<String> = self.connection.query_row(&sql, [], |row| row.get(0)).map_err(store)?;
            *value = text.map_or(Value::Null, Value::Text);
        }
        Ok(row)
    }

    fn append(&self, table: &Table, rows: &[(&Row, Version)]) -> Result<(), ServingError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut fields = Vec::with_capacity(table.columns.len() + 2);
        let mut arrays = Vec::with_capacity(table.columns.len() + 2);
        for (place, column) in table.columns.iter().enumerate() {
            fields.push(field(column.name, column.kind));
            arrays.push(
                array(column.kind, rows.iter().map(|(row, _)| row.get(place).unwrap_or(&Value::Null)))
                    .map_err(arrow)?,
            );
        }
        for (name, pick) in table.hidden().into_iter().zip([true, false]) {
            fields.push(Field::new(name, DataType::Int64, false));
            let versions = rows.iter().map(|(_, version)| Some(if pick { version.0 } else { version.1 }));
            arrays.push(Arc::new(versions.collect::<Int64Array>()));
        }
        self.append_batch(table.name, None, record_batch(fields, arrays).map_err(arrow)?)
    }

    fn append_batch(&self, table: &str, catalog: Option<&str>, rows: RecordBatch) -> Result<(), ServingError> {
        let mut appender = match (catalog, table.split_once('.')) {
            (Some(catalog), _) => self.connection.appender_to_catalog_and_db(table, catalog, "main"),
            (None, Some((schema, table))) => self.connection.appender_to_db(table, schema),
            (None, None) => self.connection.appender(table),
        }
        .map_err(store)?;
        appender.append_record_batch(rows).map_err(store)?;
        appender.flush().map_err(store)
    }

    fn write_gone(&self, news: &News) -> Result<(), ServingError> {
        let name = |table: &usize| self.tables.get(*table).map_or("", |table| table.name);
        let keys = news.gone.iter().map(|(table, key, version)| (name(table), hex(key), *version));
        let tables = news.emptied.iter().map(|(table, version)| (name(table), String::new(), *version));
        let mut insert = None;
        for (table, key, version) in keys.chain(tables) {
            let statement = match &mut insert {
                Some(statement) => statement,
                None => insert
                    .insert(self.connection.prepare("insert into _serving.gone values (?, ?, ?, ?)").map_err(store)?),
            };
            statement.execute(params![table, key, version.0, version.1]).map_err(store)?;
        }
        Ok(())
    }

    /// Adds the positions that moved; the latest of each partition counts.
    fn write_positions(&self, batch: &Batch, news: &mut News) -> Result<(), ServingError> {
        news.position_rows = self.known.position_rows + batch.progress().len();
        let mut write: Vec<(&TopicPartition, i64)> = batch.progress().iter().map(|(at, next)| (at, *next)).collect();
        if news.position_rows > POSITION_ROWS_MAX {
            self.connection.execute_batch("delete from _serving.positions").map_err(store)?;
            let rest = self.known.positions.iter().filter(|(at, _)| !batch.progress().contains_key(at));
            write.extend(rest.map(|(at, next)| (at, *next)));
            news.position_rows = write.len();
        }
        if write.is_empty() {
            return Ok(());
        }
        let fields = vec![
            Field::new("topic", DataType::Utf8, true),
            Field::new("part", DataType::Int32, true),
            Field::new("next", DataType::Int64, true),
        ];
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(write.iter().map(|(at, _)| Some(at.topic.as_str())).collect::<StringArray>()),
            Arc::new(write.iter().map(|(at, _)| Some(at.partition)).collect::<duckdb::arrow::array::Int32Array>()),
            Arc::new(write.iter().map(|(_, next)| Some(*next)).collect::<Int64Array>()),
        ];
        self.append_batch("_serving.positions", None, record_batch(fields, arrays).map_err(arrow)?)
    }
}

/// Whether the store made the row after everything that is served of the table, so that none of it can stand here.
fn is_fresh(table: &Table, state: &KeyState, latest: Option<Version>) -> bool {
    let new = state.created.is_some_and(|created| latest.is_none_or(|latest| created > latest));
    table.order == Order::Append || (new && !state.rows.iter().any(|row| row.contains(&Value::Unchanged)))
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn arrow(error: duckdb::arrow::error::ArrowError) -> ServingError {
    ServingError::Store(error.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
