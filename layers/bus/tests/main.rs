//! The in-memory engine passes the conformance suite.

use bus::{Bus, MemoryBus};
use std::sync::Arc;

#[tokio::test]
async fn memory_conforms() {
    bus::suite::run(async |session| Arc::new(MemoryBus::with_session_timeout(session)) as Arc<dyn Bus>).await;
}
