//! The in-memory engine passes the conformance suite.

use bus::suite::Keeps;
use bus::{Bus, MemoryBus};
use std::sync::Arc;

#[tokio::test]
async fn memory_conforms() {
    let open = async |_place, session| Arc::new(MemoryBus::with_session_timeout(session)) as Arc<dyn Bus>;
    bus::suite::run(open, Keeps::Nothing).await;
}
