//! The engine: one writer, several readers.

use crate::read::Readers;
use crate::write::Writer;
use crate::{Config, schema, store};
use async_trait::async_trait;
use bus::TopicPartition;
use duckdb::Connection;
use serving::tables::{Table, View};
use serving::value::Value;
use serving::{Analytics, Batch, Limits, QueryResult, ServingError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Analytics in one DuckDB file.
pub struct DuckDb {
    writer: Arc<Mutex<Writer>>,
    readers: Readers,
    log: PathBuf,
}

impl DuckDb {
    /// Opens `analytics.duckdb` in a folder, which is made if need be, and replays its log.
    ///
    /// # Errors
    /// [`ServingError::Store`] when another process holds the file or the disk fails.
    pub fn open(folder: &Path, config: &Config) -> Result<Self, ServingError> {
        let scratch = folder.join("scratch");
        std::fs::create_dir_all(&scratch)
            .map_err(|error| ServingError::Store(format!("{}: {error}", scratch.display())))?;
        let file = folder.join("analytics.duckdb");
        let connection = schema::open(&file, &scratch, config).map_err(store)?;
        let readers = (0..config.readers.max(1)).map(|_| connection.try_clone());
        let readers = Readers::new(readers.collect::<Result<Vec<Connection>, _>>().map_err(store)?);
        let log = folder.join("analytics.duckdb.wal");
        Ok(Self { writer: Arc::new(Mutex::new(Writer::new(connection))), readers, log })
    }

    /// Runs work on the writing connection, on a thread that may block.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, ServingError> + Send + 'static,
    ) -> Result<T, ServingError> {
        let writer = Arc::clone(&self.writer);
        // A panic in the middle rolls the transaction back when the next one begins.
        let run = move || work(&mut writer.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(run).await.map_err(|error| ServingError::Store(error.to_string()))?
    }
}

#[async_trait]
impl Analytics for DuckDb {
    async fn migrate(&self, tables: &'static [Table], views: &'static [View]) -> Result<(), ServingError> {
        self.write(move |writer| writer.migrate(tables, views)).await
    }

    async fn apply(&self, batch: Batch) -> Result<(), ServingError> {
        self.write(move |writer| writer.apply(&batch)).await
    }

    async fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, ServingError> {
        self.write(|writer| Ok(writer.positions().clone())).await
    }

    async fn query(&self, sql: &str, params: Vec<Value>, limits: Limits) -> Result<QueryResult, ServingError> {
        self.readers.query(sql.to_owned(), params, limits).await
    }

    fn log_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    async fn checkpoint(&self) -> Result<(), ServingError> {
        self.write(|writer| writer.checkpoint()).await
    }
}
