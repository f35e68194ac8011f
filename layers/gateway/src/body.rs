//! Bodies: read and inflated, each with a limit on size and time.

use crate::Refusal;
use crate::room::Room;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use std::io::Read;
use std::time::Duration;

/// What is read of a refused body before the answer.
const DRAIN_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longest time that goes into it.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// First bytes of every gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads a body; takes room as its bytes arrive.
///
/// # Errors
/// When it is too large, too slow or broken off, or there is no room for it.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    time: Duration,
    room: &mut Room,
) -> Result<Bytes, Refusal> {
    let mut chunks = body.into_data_stream();
    let collect = collect(declared(headers), &mut chunks, limit, room);
    let read = tokio::time::timeout(time, collect).await.unwrap_or(Err(Refusal::Slow));
    if matches!(read, Err(Refusal::TooLarge { .. } | Refusal::Busy)) {
        drain(headers, chunks).await;
    }
    read
}

/// Size of the body as the client declares it.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(
    declared: Option<u64>,
    chunks: &mut BodyDataStream,
    limit: usize,
    room: &mut Room,
) -> Result<Bytes, Refusal> {
    if declared.is_some_and(|size| size > limit as u64) {
        return Err(Refusal::TooLarge { limit });
    }
    // What is declared and does not come must cost nothing, so the memory grows with what comes.
    let mut all = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::Broken)?;
        if all.len() + chunk.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        room.grow(chunk.len())?;
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

/// Reads the rest of a refused body and throws it away: a client that is still sending would miss the answer otherwise.
pub(crate) async fn drain(headers: &HeaderMap, mut chunks: BodyDataStream) {
    if headers.contains_key(header::EXPECT) {
        // The client waits for our word before it sends: no need to take the bytes.
        return;
    }
    let drain = async {
        let mut drained = 0;
        while drained < DRAIN_BYTES_MAX
            && let Some(Ok(chunk)) = chunks.next().await
        {
            drained += chunk.len() as u64;
        }
    };
    // Whether the client came to its end does not change the answer.
    let _ended = tokio::time::timeout(DRAIN_TIME_MAX, drain).await;
}

/// Inflates a body that is gzip, whether or not its header says so; others stay as they are.
///
/// # Errors
/// When it does not inflate, inflates to more than the limit, or has another encoding.
pub(crate) fn inflate(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(b"".as_slice(), |value| value.as_bytes());
    let declared = match encoding.to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => true,
        b"" | b"identity" => false,
        _ => return Err(Refusal::Encoding),
    };
    if !body.starts_with(&GZIP) {
        // Some proxies inflate and leave the header: JSON is taken for what it is.
        let plain = !declared || body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        return if plain { Ok(body) } else { Err(Refusal::Gzip) };
    }
    let mut inflated = Vec::with_capacity(body.len().saturating_mul(4).min(limit + 1));
    let reader = MultiGzDecoder::new(body.as_ref());
    reader.take(limit as u64 + 1).read_to_end(&mut inflated).map_err(|_| Refusal::Gzip)?;
    if inflated.len() > limit {
        return Err(Refusal::TooLarge { limit });
    }
    Ok(inflated.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    fn headers(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, encoding.parse().unwrap())])
    }

    #[test]
    fn gzip_is_known_by_header_and_by_its_bytes() {
        for headers in [headers("gzip"), headers("GZIP"), headers("identity"), HeaderMap::new()] {
            assert_eq!(inflate(&headers, gzip(b"{}"), 100).unwrap(), b"{}".as_slice());
        }
        assert_eq!(inflate(&headers("gzip"), Bytes::from_static(b" {}"), 100).unwrap(), b" {}".as_slice());
    }

    #[test]
    fn bombs_and_broken_streams_are_refused() {
        let bomb = gzip(&vec![b' '; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert_eq!(inflate(&HeaderMap::new(), bomb, 1_000), Err(Refusal::TooLarge { limit: 1_000 }));
        let whole = gzip(&[7; 1_000]);
        let torn = whole.slice(..whole.len() - 9);
        assert_eq!(inflate(&HeaderMap::new(), torn, 10_000), Err(Refusal::Gzip));
        assert_eq!(inflate(&HeaderMap::new(), Bytes::from_static(&GZIP), 10_000), Err(Refusal::Gzip));
        assert_eq!(inflate(&headers("gzip"), Bytes::from_static(b"plain"), 10_000), Err(Refusal::Gzip));
        assert_eq!(inflate(&headers("br"), Bytes::from_static(b"{}"), 10_000), Err(Refusal::Encoding));
    }
}
