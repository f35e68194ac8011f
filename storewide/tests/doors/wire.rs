//! HTTP/1.1 by hand: whatever a client library would mend or refuse goes out as it is.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest time that any answer may take; far beyond the limits of the doors that are asked here.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Size of a huge body.
const HUGE: usize = 100 << 20;

/// What is sent after the head.
#[derive(Clone)]
pub enum Body {
    None,
    Bytes(Vec<u8>),
    /// 100 MB in one piece, its length declared.
    Huge,
    /// 100 MB in chunks.
    HugeChunked,
    /// The declared length never comes.
    Half(Vec<u8>),
}

/// An answer as it came.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        format!("{}\n{}", self.head, String::from_utf8_lossy(&self.body))
    }

    pub fn has_header(&self, line: &str) -> bool {
        self.head.lines().any(|found| found.eq_ignore_ascii_case(line))
    }
}

/// Sends a request and reads the answer to its end; none when there is no whole answer.
pub async fn ask(to: SocketAddr, line: &str, headers: &[(String, String)], body: Body) -> Option<Answer> {
    let mut head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match &body {
        Body::None => {}
        Body::Bytes(bytes) => head.push_str(&format!("content-length: {}\r\n", bytes.len())),
        Body::Half(bytes) => head.push_str(&format!("content-length: {}\r\n", bytes.len() + 10)),
        Body::Huge => head.push_str(&format!("content-length: {HUGE}\r\n")),
        Body::HugeChunked => head.push_str("transfer-encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    let (mut reading, mut writing) = TcpStream::connect(to).await.unwrap().into_split();
    let send = async move {
        // A door may answer and close before it has read everything; the answer tells.
        let _sent = write(&mut writing, head.as_bytes(), &body).await;
        writing
    };
    let read = async move {
        let mut all = Vec::new();
        let _end = reading.read_to_end(&mut all).await;
        all
    };
    let both = async { tokio::join!(send, read).1 };
    parse(&tokio::time::timeout(ANSWER_MAX, both).await.ok()?)
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), head: &[u8], body: &Body) -> std::io::Result<()> {
    to.write_all(head).await?;
    match body {
        Body::None => {}
        Body::Bytes(bytes) | Body::Half(bytes) => to.write_all(bytes).await?,
        Body::Huge | Body::HugeChunked => {
            let piece = vec![b'['; 1 << 20];
            for _ in 0..HUGE / piece.len() {
                if matches!(body, Body::HugeChunked) {
                    to.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                }
                to.write_all(&piece).await?;
                if matches!(body, Body::HugeChunked) {
                    to.write_all(b"\r\n").await?;
                }
            }
            if matches!(body, Body::HugeChunked) {
                to.write_all(b"0\r\n\r\n").await?;
            }
        }
    }
    to.flush().await
}

fn parse(all: &[u8]) -> Option<Answer> {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &all[end + 4..];
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(rest)? } else { rest.to_vec() };
    Some(Answer { status, head, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}
