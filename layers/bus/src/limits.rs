//! What is too large or malformed, refused alike by every engine before anything is written.

use crate::{BusError, NewRecord, Step, TopicSpec, partition_of};

/// Largest record, key, value and headers together; Kafka's own default.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// Most bytes of one `produce` or `step`: it has to fit into memory and into one atomic commit.
pub const MAX_CALL_BYTES: usize = 64 << 20;
/// Most partitions of a topic.
pub const MAX_PARTITIONS: i32 = 4096;
/// Most headers of a record.
pub const MAX_HEADERS: usize = 64;
/// Longest topic, group, namespace and header name, bytes; Kafka's limit for topics.
pub const MAX_NAME_BYTES: usize = 249;
/// Longest key of the state, bytes.
pub const MAX_STATE_KEY_BYTES: usize = 32 << 10;
/// Largest value of the state, bytes.
pub const MAX_STATE_VALUE_BYTES: usize = 16 << 20;

/// Checks a topic to be created: Kafka's rules for names, 1 to [`MAX_PARTITIONS`] partitions.
///
/// # Errors
/// [`BusError::Invalid`].
pub fn check_topic(spec: &TopicSpec) -> Result<(), BusError> {
    check_name("topic", &spec.name)?;
    if spec.name == "." || spec.name == ".." {
        return Err(BusError::Invalid(format!("`{}` is no topic name", spec.name)));
    }
    if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
        let (name, count) = (&spec.name, spec.partitions);
        return Err(BusError::Invalid(format!(
            "topic `{name}` asks for {count} partitions; 1 to {MAX_PARTITIONS} are possible"
        )));
    }
    Ok(())
}

/// Checks a name of a topic, group or namespace: 1 to [`MAX_NAME_BYTES`] letters, digits, dots, underscores and hyphens.
///
/// # Errors
/// [`BusError::Invalid`].
pub fn check_name(what: &str, name: &str) -> Result<(), BusError> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(letters) {
        return Err(BusError::Invalid(format!(
            "a {what} name has 1 to {MAX_NAME_BYTES} letters, digits, dots, underscores and hyphens"
        )));
    }
    Ok(())
}

/// Checks a record and says where it goes: the partition asked for, else the key's, else 0.
///
/// # Errors
/// [`BusError::TooLarge`], [`BusError::UnknownPartition`], or [`BusError::Invalid`] for its headers or a negative time.
pub fn place(record: &NewRecord, partitions: i32) -> Result<i32, BusError> {
    let size = record.size();
    if size > MAX_RECORD_BYTES {
        return Err(BusError::TooLarge { topic: record.topic.clone(), size, limit: MAX_RECORD_BYTES });
    }
    if record.headers.len() > MAX_HEADERS || record.headers.iter().any(|(name, _)| name.len() > MAX_NAME_BYTES) {
        return Err(BusError::Invalid(format!(
            "a record has at most {MAX_HEADERS} headers, with names of at most {MAX_NAME_BYTES} bytes"
        )));
    }
    if record.timestamp_ms < 0 {
        return Err(BusError::Invalid("a record's time is negative".to_owned()));
    }
    let partition = match (record.partition, &record.key) {
        (Some(partition), _) => partition,
        (None, Some(key)) => partition_of(key, partitions),
        (None, None) => 0,
    };
    if !(0..partitions).contains(&partition) {
        return Err(BusError::UnknownPartition { topic: record.topic.clone(), partition });
    }
    Ok(partition)
}

/// Checks a step but for its records, each of which [`place`] checks.
///
/// # Errors
/// [`BusError::Invalid`].
pub fn check_step(step: &Step) -> Result<(), BusError> {
    if !step.group.is_empty() {
        check_name("group", &step.group)?;
    } else if !step.consumed.is_empty() || step.generation.is_some() {
        return Err(BusError::Invalid("a step with consumed offsets or a generation names its group".to_owned()));
    }
    if step.consumed.iter().any(|(_, offset)| *offset < 0) {
        return Err(BusError::Invalid("a consumed offset is negative".to_owned()));
    }
    let mut bytes = 0;
    for change in &step.state {
        check_name("namespace", &change.namespace)?;
        let value = change.value.as_ref().map_or(0, bytes::Bytes::len);
        let (key, of) = (change.key.len(), &change.namespace);
        for (what, size, limit) in [("key", key, MAX_STATE_KEY_BYTES), ("value", value, MAX_STATE_VALUE_BYTES)] {
            if size > limit {
                return Err(BusError::Invalid(format!(
                    "a state {what} of {size} bytes in namespace `{of}` exceeds the limit of {limit} bytes"
                )));
            }
        }
        bytes += change.key.len() + value;
    }
    check_call(bytes + step.produce.iter().map(NewRecord::size).sum::<usize>())
}

/// Checks the size of a whole call.
///
/// # Errors
/// [`BusError::Invalid`] when it exceeds [`MAX_CALL_BYTES`].
pub fn check_call(bytes: usize) -> Result<(), BusError> {
    if bytes > MAX_CALL_BYTES {
        return Err(BusError::Invalid(format!(
            "{bytes} bytes in one call exceed the limit of {MAX_CALL_BYTES}; split it"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateChange;
    use bytes::Bytes;

    #[test]
    fn a_refused_state_is_called_a_state() {
        let change = |key, value| {
            let namespace = "processing.persons".to_owned();
            let change = StateChange { namespace, key: vec![0; key].into(), value: Some(Bytes::from(vec![0; value])) };
            check_step(&Step { state: vec![change], ..Step::default() }).map_err(|error| error.to_string())
        };
        let told =
            |what| format!("invalid call: a state {what} in namespace `processing.persons` exceeds the limit of");
        let key = change(MAX_STATE_KEY_BYTES + 1, 0).unwrap_err();
        assert!(key.starts_with(&told("key of 32769 bytes")), "{key}");
        let value = change(1, MAX_STATE_VALUE_BYTES + 1).unwrap_err();
        assert!(value.starts_with(&told("value of 16777217 bytes")), "{value}");
        change(MAX_STATE_KEY_BYTES, MAX_STATE_VALUE_BYTES).unwrap();
    }

    #[test]
    fn names_follow_kafkas_rules() {
        for name in ["crm.member", "a", "A-b_c.9"] {
            assert!(check_name("topic", name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a/b", "ä", "a\0", &"x".repeat(250)] {
            assert!(check_name("topic", name).is_err(), "{name}");
        }
        assert!(check_topic(&TopicSpec::new("..", 1)).is_err());
        assert!(check_topic(&TopicSpec::new("a", 0)).is_err());
        assert!(check_topic(&TopicSpec::new("a", MAX_PARTITIONS + 1)).is_err());
    }
}
