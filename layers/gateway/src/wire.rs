//! What SDKs send: Segment's calls and batches, read once, without copying what is thrown away.

use crate::{Config, Refusal, occurrence};
use model::behaviour::EventType;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Largest shared context of a batch, bytes: it is copied into each of its events.
const BATCH_CONTEXT_BYTES_MAX: usize = 4 * 1024;

/// What a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// One event of this type.
    One(EventType),
    /// Many events, each with its type.
    Batch,
}

impl Call {
    /// The call of a path below `/v1/`, in its long or short form.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        Some(match path {
            "identify" | "i" => Self::One(EventType::Identify),
            "track" | "t" => Self::One(EventType::Track),
            "page" | "p" => Self::One(EventType::Page),
            "screen" | "s" => Self::One(EventType::Screen),
            "group" | "g" => Self::One(EventType::Group),
            "alias" | "a" => Self::One(EventType::Alias),
            "batch" | "b" | "import" => Self::Batch,
            _ => return None,
        })
    }

    /// The call's path in its long form; [`Self::of`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One(EventType::Identify) => "identify",
            Self::One(EventType::Track) => "track",
            Self::One(EventType::Page) => "page",
            Self::One(EventType::Screen) => "screen",
            Self::One(EventType::Group) => "group",
            Self::One(EventType::Alias) => "alias",
            Self::Batch => "batch",
        }
    }
}

/// A request's body, taken apart but not yet read event by event.
#[derive(Debug)]
pub struct Sent<'a> {
    /// The events, each as sent.
    pub events: Vec<&'a RawValue>,
    /// The write key, where the body holds it.
    pub write_key: Option<String>,
    /// When the SDK sent the batch; none where it is no time.
    pub sent_at: Option<Value>,
    /// Context of all events of the batch.
    pub context: Option<Value>,
    /// The same, as sent.
    pub context_text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
    #[serde(rename = "writeKey")]
    write_key: Option<Value>,
    #[serde(rename = "sentAt")]
    sent_at: Option<Value>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct KeyOnly {
    #[serde(rename = "writeKey")]
    write_key: Option<Value>,
}

impl<'a> Sent<'a> {
    /// Takes a body apart.
    ///
    /// # Errors
    /// When the body as a whole is no JSON of the wanted form or holds too many events.
    pub fn read(call: Call, body: &'a [u8], config: &Config) -> Result<Self, Refusal> {
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Refusal::Json { reason: "it does not begin with {".to_owned() });
        }
        match call {
            Call::One(_) => {
                let event: &RawValue = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
                let key: KeyOnly = serde_json::from_str(event.get()).map_err(|error| unreadable(&error))?;
                let write_key = text(key.write_key);
                Ok(Self { events: vec![event], write_key, sent_at: None, context: None, context_text: None })
            }
            Call::Batch => {
                let batch: Batch<'a> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
                if batch.batch.len() > config.batch_events_max {
                    return Err(Refusal::TooMany { limit: config.batch_events_max });
                }
                let context = batch.context.map(shared_context).transpose()?;
                Ok(Self {
                    events: batch.batch,
                    write_key: text(batch.write_key),
                    // It is kept with each event that is refused, so it must not be as large as a body.
                    sent_at: batch.sent_at.filter(occurrence::is_time),
                    context,
                    context_text: batch.context,
                })
            }
        }
    }
}

fn shared_context(raw: &RawValue) -> Result<Value, Refusal> {
    if raw.get().len() > BATCH_CONTEXT_BYTES_MAX {
        return Err(Refusal::Context { limit: BATCH_CONTEXT_BYTES_MAX });
    }
    serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))
}

/// Says where JSON breaks, and never what stands there.
fn unreadable(error: &serde_json::Error) -> Refusal {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a field is missing, doubled or of the wrong type",
        serde_json::error::Category::Eof => "it ends too early",
        _ => "broken JSON or invalid UTF-8",
    };
    Refusal::Json { reason: format!("{what}, line {} column {}", error.line(), error.column()) }
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// One event as SDKs send it. Fields are loose values, so that a wrong type is named by its place.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Incoming {
    #[serde(rename = "type")]
    pub(crate) kind: Option<Value>,
    pub(crate) event: Option<Value>,
    pub(crate) name: Option<Value>,
    pub(crate) category: Option<Value>,
    pub(crate) message_id: Option<Value>,
    pub(crate) anonymous_id: Option<Value>,
    pub(crate) user_id: Option<Value>,
    pub(crate) previous_id: Option<Value>,
    pub(crate) group_id: Option<Value>,
    pub(crate) timestamp: Option<Value>,
    pub(crate) original_timestamp: Option<Value>,
    pub(crate) sent_at: Option<Value>,
    pub(crate) context: Option<Value>,
    pub(crate) properties: Option<Value>,
    pub(crate) traits: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(call: Call, body: &str) -> Result<(usize, Option<String>), Refusal> {
        Sent::read(call, body.as_bytes(), &Config::default()).map(|sent| (sent.events.len(), sent.write_key))
    }

    #[test]
    fn takes_bodies_apart() {
        let one = Call::One(EventType::Track);
        assert_eq!(read(one, r#" {"event":"A","writeKey":"k"}"#), Ok((1, Some("k".to_owned()))));
        assert_eq!(read(Call::Batch, r#"{"batch":[{},3],"sentAt":null}"#), Ok((2, None)));
        assert_eq!(read(Call::Batch, r#"{"batch":[]}"#), Ok((0, None)));
    }

    #[test]
    fn calls_are_found_by_their_name() {
        for path in ["identify", "track", "page", "screen", "group", "alias", "batch"] {
            assert_eq!(Call::of(path).unwrap().name(), path);
        }
    }

    #[test]
    fn a_batch_was_sent_at_a_time_or_it_does_not_say() {
        let sent_at = |text: &str| {
            let body = format!(r#"{{"batch":[],"sentAt":{text}}}"#);
            Sent::read(Call::Batch, body.as_bytes(), &Config::default()).unwrap().sent_at
        };
        assert_eq!(sent_at(r#""2026-03-01T12:00:00Z""#), Some(Value::from("2026-03-01T12:00:00Z")));
        assert_eq!(sent_at(&format!("\"{}\"", "x".repeat(400_000))), None);
        assert_eq!(sent_at("[1]"), None);
    }

    #[test]
    fn refuses_what_is_no_body() {
        let one = Call::One(EventType::Track);
        for (call, body) in [
            (one, ""),
            (one, "[]"),
            (one, "{\"event\": \"secret"),
            (one, "{} {}"),
            (Call::Batch, "{}"),
            (Call::Batch, r#"{"batch":{}}"#),
            (Call::Batch, r#"{"batch":[1,]}"#),
            (Call::Batch, r#"{"batch":"secret"}"#),
        ] {
            let refusal = read(call, body).unwrap_err();
            assert!(matches!(refusal, Refusal::Json { .. }), "{body}: {refusal}");
            assert!(!refusal.to_string().contains("secret"), "{refusal}");
        }
        let many = format!(r#"{{"batch":[{}1]}}"#, "1,".repeat(2_500));
        assert!(matches!(read(Call::Batch, &many), Err(Refusal::TooMany { .. })));
        let wide = format!(r#"{{"batch":[],"context":{{"a":"{}"}}}}"#, "x".repeat(5_000));
        assert!(matches!(read(Call::Batch, &wide), Err(Refusal::Context { .. })));
    }
}
