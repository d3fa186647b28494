//! The requests of a test and their results.

use axum::body::Body;
use bytes::Bytes;
use faasflow_core::{Outcome, headers};
use faasflow_http::read_body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::lock::lock;
use crate::running::{PATIENCE, Running};

/// A request to the flow.
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    kit: &'a Running,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

impl Running {
    /// A new request to the flow with this body.
    pub fn request(&self, body: impl Into<Bytes>) -> Request<'_> {
        Request::new(self, body.into())
    }
}

impl<'a> Request<'a> {
    fn new(kit: &'a Running, body: Bytes) -> Request<'a> {
        let (query, headers) = (Vec::new(), HeaderMap::new());
        Request { kit, method: Method::POST, path: "/".to_owned(), query, headers, body }
    }

    /// Sends with this method instead of POST.
    pub fn method(mut self, method: Method) -> Request<'a> {
        self.method = method;
        self
    }

    /// Sends to this path instead of `/`.
    pub fn path(mut self, path: impl Into<String>) -> Request<'a> {
        self.path = path.into();
        self
    }

    /// Adds a parameter to the query.
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Request<'a> {
        self.query.push((key.into(), value.into()));
        self
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// If the name or the value is not valid.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Request<'a> {
        let name: HeaderName = name.as_ref().parse().expect("the name of the header should be valid");
        self.headers
            .append(name, HeaderValue::from_str(value.as_ref()).expect("the value of the header should be valid"));
        self
    }

    /// Replaces all headers.
    pub fn headers(mut self, headers: HeaderMap) -> Request<'a> {
        self.headers = headers;
        self
    }

    /// Signs the body with the flow's key.
    pub fn signed(mut self) -> Request<'a> {
        let (name, value) = self.kit.sign(&self.body);
        self.headers.insert(name, value);
        self
    }

    /// Sends the request and returns its first answer. The request may not have ended yet.
    ///
    /// # Panics
    ///
    /// If the flow function does not answer within two minutes.
    pub async fn answer(self) -> Answer {
        let mut request = http::Request::new(Body::from(self.body));
        *request.method_mut() = self.method;
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(self.query).finish();
        let base = self.kit.flow_url();
        let mut url = format!("{}{}", base.trim_end_matches('/'), self.path);
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query);
        }
        *request.uri_mut() = url.parse().expect("the path and the query should make a valid URL");
        *request.headers_mut() = self.headers;
        let _unanswered = self.kit.gateway.unanswered();
        let exchange = async {
            let response =
                self.kit.flow.client().send(request).await.unwrap_or_else(|error| {
                    panic!("the flow function did not answer: {}", faasflow_core::chain(&error))
                });
            let (parts, body) = response.into_parts();
            let body =
                read_body(body, u64::MAX, PATIENCE).await.expect("the answer of the flow function should be complete");
            Answer { status: parts.status, headers: parts.headers, body }
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("the flow function should answer within two minutes")
    }

    /// Sends the request and waits for its end, in whatever phase that is.
    ///
    /// # Panics
    ///
    /// If it does not end within two minutes.
    pub async fn send(mut self) -> End {
        let kit = self.kit;
        if !self.headers.contains_key(headers::CALLBACK_URL) {
            let url = format!("{}/_/report", kit.gateway_url());
            self.headers.insert(
                headers::CALLBACK_URL,
                HeaderValue::from_str(&url).expect("a URL should be a valid header value"),
            );
        }
        let answer = self.answer().await;
        if answer.status != StatusCode::ACCEPTED {
            return End { status: answer.status, headers: answer.headers, body: answer.body };
        }
        let id = answer.request_id().to_owned();
        let report = || lock(&kit.gateway.reports).get(&id).cloned();
        let end = kit.until(&format!("the end of the request `{id}`"), report).await;
        End { status: answer.status, headers: end.headers, body: end.body }
    }
}

/// An answer of the flow function.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The end of a request: the answer to it, or the report of its last phase.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct End {
    /// The status of the first answer. It is 202 if later phases followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The payload.
    pub body: Bytes,
}

macro_rules! reading {
    ($type:ident) => {
        impl $type {
            /// The payload as text. Bytes that are not UTF-8 are replaced.
            #[must_use]
            pub fn text(&self) -> String {
                String::from_utf8_lossy(&self.body).into_owned()
            }

            /// The payload as JSON.
            ///
            /// # Panics
            ///
            /// If the payload is not JSON, or does not fit `T`.
            #[must_use]
            pub fn json<T: DeserializeOwned>(&self) -> T {
                serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
            }

            /// A header as text. `None` if it is absent or not text.
            #[must_use]
            pub fn header(&self, name: &str) -> Option<&str> {
                self.headers.get(name).and_then(|value| value.to_str().ok())
            }

            /// The request id.
            ///
            /// # Panics
            ///
            /// If the answer has no request id. Every answer of a flow function has one.
            #[must_use]
            pub fn request_id(&self) -> &str {
                self.header(headers::REQUEST_ID.as_str())
                    .expect("the answer should have a request id; was it sent by a flow function?")
            }

            /// The outcome of the request, if it has ended.
            #[must_use]
            pub fn outcome(&self) -> Option<Outcome> {
                self.header(headers::OUTCOME.as_str()).and_then(|text| text.parse().ok())
            }
        }
    };
}

reading!(Answer);
reading!(End);
