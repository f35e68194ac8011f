//! Section `[gateway]` of the configuration.

use serde::{Deserialize, Serialize};

/// What becomes of a visitor's IP address in an event's context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpPolicy {
    /// Keep the network only: /24 of IPv4, /48 of IPv6.
    #[default]
    Truncate,
    /// Keep nothing.
    Drop,
}

/// How the gateway works. The limits on events are Segment's own, so that whatever Segment takes is taken here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest event, bytes of JSON. Default 32 KiB.
    pub event_bytes_max: usize,
    /// Largest batch, bytes after inflating. Default 500 KiB.
    pub batch_bytes_max: usize,
    /// Most events in a batch. Default 2,500.
    pub batch_events_max: usize,
    /// Bytes of bodies that may be in work at once; more is answered with 503. Default 64 MiB.
    pub in_flight_bytes_max: usize,
    /// Longest time in which a body must arrive, milliseconds. Default 15,000.
    pub body_time_max_ms: u64,
    /// Longest time that the bus may take, milliseconds; beyond it the answer is 503. Default 10,000.
    pub produce_time_max_ms: u64,
    /// What becomes of IP addresses. Default `truncate`.
    pub ip: IpPolicy,
    /// Host and path under which browsers reach the door, such as `events.example.com/v1`, for the settings that the browser
    /// SDK asks for. Default: the host that it asked, and `/v1`.
    pub public_host: Option<String>,
    /// Scheme under which browsers reach the door. Default: `X-Forwarded-Proto`, else `http`.
    pub public_protocol: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            event_bytes_max: 32 * 1024,
            batch_bytes_max: 500 * 1024,
            batch_events_max: 2_500,
            in_flight_bytes_max: 64 * 1024 * 1024,
            body_time_max_ms: 15_000,
            produce_time_max_ms: 10_000,
            ip: IpPolicy::Truncate,
            public_host: None,
            public_protocol: None,
        }
    }
}
