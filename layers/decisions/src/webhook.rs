//! One attempt to deliver one action: a signed POST, and what its answer means.

use crate::DecisionsError;
use crate::config::Target;
use crate::standard_webhooks as headers;
use jiff::fmt::rfc2822;
use model::Timestamp;
use model::ids::ActionId;
use reqwest::{Client, Response, StatusCode, header, redirect};
use std::time::Duration;

/// Most bytes of an answer that are read: enough to use the connection again after a short answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// What follows.
    pub(crate) meaning: Meaning,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The receiver has it.
    Delivered,
    /// Another attempt may help; the receiver may have asked to wait.
    Again { why: String, asked: Option<Duration> },
    /// Another attempt would get the same answer.
    Refused { why: String },
}

/// Sends signed actions to one place.
pub(crate) struct Sender {
    client: Client,
    target: Target,
}

impl Sender {
    pub(crate) fn new(target: Target, timeout: Duration) -> Result<Self, DecisionsError> {
        let mut client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            // A redirect would send the action to where nobody decided to send it.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("storewide/", env!("CARGO_PKG_VERSION")));
        if matches!(target.url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| DecisionsError::Client(error.without_url().to_string()))?;
        Ok(Self { client, target })
    }

    /// Sends an action. The same action always has the same id and body; only time and signature differ.
    pub(crate) async fn send(&self, action: ActionId, body: Vec<u8>, now: Timestamp) -> Answer {
        let (id, seconds) = (action.to_string(), now.as_second());
        let request = self
            .client
            .post(self.target.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(headers::ID, &id)
            .header(headers::TIMESTAMP, seconds)
            .header(headers::SIGNATURE, self.target.secret.sign(&id, seconds, &body))
            .body(body);
        match request.send().await {
            Ok(response) => {
                let answer = answer(response.status(), retry_after(&response, now));
                drain(response).await;
                answer
            }
            // Neither the URL nor the receiver's words travel: they may hold a secret.
            Err(error) => {
                Answer { status: None, meaning: Meaning::Again { why: reason(&error).to_owned(), asked: None } }
            }
        }
    }
}

fn answer(status: StatusCode, asked: Option<Duration>) -> Answer {
    let why = || format!("the receiver answered {}", status.as_u16());
    let meaning = match status.as_u16() {
        200..=299 => Meaning::Delivered,
        408 | 429 | 500..=599 => Meaning::Again { why: why(), asked },
        _ => Meaning::Refused { why: why() },
    };
    Answer { status: Some(status.as_u16()), meaning }
}

fn reason(error: &reqwest::Error) -> &'static str {
    // `not sent:` says that the receiver cannot have acted. Asked first, as a connection that takes too long is both.
    if error.is_connect() {
        "not sent: the receiver cannot be reached"
    } else if error.is_timeout() {
        "the receiver did not answer in time"
    } else {
        "the connection to the receiver broke"
    }
}

/// The wait that the receiver asks for, in seconds or as a date.
fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    parse_retry_after(response.headers().get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Duration::try_from(until.duration_since(now)).ok()
}

/// Reads a short answer to its end; a long one costs the connection.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > ANSWER_BYTES_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_http_says() {
        let kind = |status: u16| match answer(StatusCode::from_u16(status).unwrap(), None).meaning {
            Meaning::Delivered => "delivered",
            Meaning::Again { .. } => "again",
            Meaning::Refused { .. } => "refused",
        };
        for (status, wanted) in [
            (200, "delivered"),
            (202, "delivered"),
            (204, "delivered"),
            (301, "refused"),
            (307, "refused"),
            (400, "refused"),
            (401, "refused"),
            (404, "refused"),
            (408, "again"),
            (410, "refused"),
            (413, "refused"),
            (429, "again"),
            (500, "again"),
            (503, "again"),
            (504, "again"),
        ] {
            assert_eq!(kind(status), wanted, "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-10-21T07:28:00Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2026 07:30:00 GMT", Some(120)),
            ("Wed, 21 Oct 2026 07:00:00 GMT", None),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
