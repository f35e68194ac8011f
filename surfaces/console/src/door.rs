//! Who may look. Whoever shows a key sees all that the pages show. Without one, the pages answer this machine only, and without the
//! words of errors: those come from wherever something went wrong.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runtime::auth::{Guard, require};
use std::net::IpAddr;

/// The door of the pages.
#[derive(Clone)]
pub(crate) struct Door {
    /// Whose keys open it.
    pub(crate) guard: Guard,
    /// Whether this machine needs none: nobody else reaches the listener.
    pub(crate) open: bool,
}

/// Lets a request pass that shows a key, and puts the key's owner into its extensions; or one that needs no key.
pub(crate) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let keyless = !request.headers().contains_key(header::AUTHORIZATION);
    if keyless && door.open && is_to_this_machine(&request) {
        return next.run(request).await;
    }
    bearer(request.headers_mut());
    let response = require(State(door.guard), request, next).await;
    if response.status() == StatusCode::UNAUTHORIZED { challenge(response) } else { response }
}

/// Makes a browser ask for a key: its user puts it in as the password, under any name.
pub(crate) fn challenge(answer: impl IntoResponse) -> Response {
    let ask = [(header::WWW_AUTHENTICATE, r#"Basic realm="Storewide: an API key as password", charset="UTF-8""#)];
    (StatusCode::UNAUTHORIZED, ask, answer).into_response()
}

/// Turns a browser's `Basic` credentials into the form that all doors know.
fn bearer(headers: &mut HeaderMap) {
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let pair = basic.and_then(|text| String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok());
    let value = pair.and_then(|pair| HeaderValue::from_str(&format!("Bearer {}", pair.split_once(':')?.1)).ok());
    if let Some(value) = value {
        headers.insert(header::AUTHORIZATION, value);
    }
}

/// Whether this machine was asked by a name of its own. A page from elsewhere whose name was bent to lead here asks by that name,
/// and so does whoever comes through a proxy that keeps it.
fn is_to_this_machine(request: &Request) -> bool {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = match named {
        Some(text) => text.parse::<Authority>().ok(),
        None => request.uri().authority().cloned(),
    };
    authority.is_some_and(|authority| {
        let host = authority.host().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}
