//! Connections that begin to speak and stop.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest time in which the house lets go of a connection that says nothing.
const LET_GO_MAX: Duration = Duration::from_secs(40);

/// Connections that begin to speak and stop; each task ends when the house has let go of its own.
pub async fn connections(addresses: &[SocketAddr], key: &str) -> Vec<tokio::task::JoinHandle<()>> {
    let head = format!("POST /api/v1/sql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n", key);
    let half = format!("{head}content-type: application/json\r\ncontent-length: 9\r\n\r\n{{");
    let mut tasks = Vec::new();
    for address in addresses.iter().copied() {
        for said in ["", "G", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", half.as_str()].repeat(5) {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            tasks.push(tokio::spawn(async move {
                let mut rest = Vec::new();
                let end = tokio::time::timeout(LET_GO_MAX, stream.read_to_end(&mut rest)).await;
                assert!(end.is_ok(), "{address} keeps a silent connection");
            }));
        }
    }
    tasks
}
