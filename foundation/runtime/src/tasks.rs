//! Tasks with a name and a layer, and a stop that has an order: doors first, stores last.

use model::Layer;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The order of a stop: what takes signals in stops first, what keeps them stops last.
const STOP_ORDER: [Layer; 8] = [
    Layer::Access,
    Layer::Gateway,
    Layer::Decisions,
    Layer::Capture,
    Layer::Processing,
    Layer::Serving,
    Layer::Bus,
    Layer::Oltp,
];

/// How long the tasks of one layer may take to finish once asked to.
const DRAIN: Duration = Duration::from_secs(10);

struct Task {
    layer: Layer,
    name: String,
    handle: JoinHandle<()>,
}

/// All tasks of a process.
#[derive(Clone)]
pub struct Tasks {
    stops: Arc<[(Layer, CancellationToken)]>,
    running: Arc<Mutex<Vec<Task>>>,
    failed: CancellationToken,
    failure: Arc<Mutex<Option<String>>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            stops: STOP_ORDER.into_iter().map(|layer| (layer, CancellationToken::new())).collect(),
            running: Arc::default(),
            failed: CancellationToken::new(),
            failure: Arc::default(),
        }
    }
}

impl Tasks {
    /// The token that tells a layer's tasks to finish.
    #[must_use]
    pub fn stop_of(&self, layer: Layer) -> CancellationToken {
        self.stops.iter().find(|(of, _)| *of == layer).map(|(_, token)| token.clone()).unwrap_or_default()
    }

    /// Runs a task, which goes on until its layer is told to stop. An error, a panic or an end of its own ends the whole
    /// process in order: a half-running house is worse than a restart.
    pub fn spawn<F, E>(&self, layer: Layer, name: &str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let (failed, failure, label) = (self.failed.clone(), Arc::clone(&self.failure), format!("{layer}.{name}"));
        let stop = self.stop_of(layer);
        let handle = tokio::spawn(async move {
            // A second task notices a panic, which would otherwise pass in silence.
            let task = AbortOnDrop(tokio::spawn(async move { future.await.map_err(|error| error.to_string()) }));
            let error = match task.await {
                Ok(Ok(())) => "ended before it was told to".to_owned(),
                Ok(Err(error)) | Err(error) => error,
            };
            if !stop.is_cancelled() {
                tracing::error!(target: "storewide", task = label, error, "task failed; stopping");
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{label}: {error}"));
                failed.cancel();
            }
        });
        let task = Task { layer, name: name.to_owned(), handle };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Resolves when a task has failed.
    pub async fn failed(&self) -> String {
        self.failed.cancelled().await;
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Stops layer by layer. Tasks that do not finish in time are aborted and named in the log.
    pub async fn stop(&self) {
        for (layer, token) in self.stops.iter() {
            token.cancel();
            let tasks: Vec<Task> = {
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                let (mine, others) = std::mem::take(&mut *running).into_iter().partition(|task| task.layer == *layer);
                *running = others;
                mine
            };
            let deadline = tokio::time::Instant::now() + DRAIN;
            for mut task in tasks {
                if tokio::time::timeout_at(deadline, &mut task.handle).await.is_err() {
                    tracing::warn!(target: "storewide", layer = %layer, task = task.name, "did not finish in time; aborted");
                    task.handle.abort();
                }
            }
        }
    }
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop(JoinHandle<Result<(), String>>);

impl Future for AbortOnDrop {
    type Output = Result<Result<(), String>, String>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map_err(|join| format!("panicked: {join}"))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[tokio::test]
    async fn doors_stop_before_stores() {
        let tasks = Tasks::default();
        let order = Arc::new(Mutex::new(Vec::new()));
        for layer in [Layer::Oltp, Layer::Access, Layer::Capture] {
            let (stop, order) = (tasks.stop_of(layer), Arc::clone(&order));
            tasks.spawn(layer, "t", async move {
                stop.cancelled().await;
                order.lock().unwrap().push(layer);
                Ok::<_, Infallible>(())
            });
        }
        tasks.stop().await;
        assert_eq!(*order.lock().unwrap(), [Layer::Access, Layer::Capture, Layer::Oltp]);
    }

    #[tokio::test]
    async fn an_early_end_is_a_failure() {
        let tasks = Tasks::default();
        tasks.spawn(Layer::Bus, "brief", async { Ok::<_, Infallible>(()) });
        assert_eq!(tasks.failed().await, "bus.brief: ended before it was told to");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let tasks = Tasks::default();
        tasks.spawn(Layer::Bus, "boom", async {
            assert!(std::env::args().count() == 0, "on purpose");
            Ok::<_, Infallible>(())
        });
        assert!(tasks.failed().await.starts_with("bus.boom: panicked"));
    }
}
