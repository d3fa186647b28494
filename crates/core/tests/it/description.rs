//! The description of a flow, which `describe`, `GET /_/flow` and drawings are made of.

use std::time::Duration;

use faasflow_core::description::Description;
use faasflow_core::{Call, CallResponse, Callback, Context, Failure, Flow, Method, Outcome, Retry};

#[test]
fn the_description_has_all_of_a_definition_but_the_values_of_headers_and_queries() {
    async fn check(text: String) -> String {
        text
    }
    let compress = Call::new("compress")
        .sync()
        .method(Method::PUT)
        .header("authorization", "secret")
        .query("token", "secret")
        .query_with("file", |context| context.query("file"))
        .timeout(Duration::from_millis(1500))
        .retry(Retry::attempts(3))
        .on_failure(async |_: Context, failure: Failure| failure.decline())
        .on_response(async |_: Context, response: CallResponse| response.into_payload());
    let flow = Flow::builder()
        .modify(check)
        .apply("facedetect")
        .apply(compress)
        .apply("colorify")
        .callback(Callback::new("storage.io/bucket?token=secret").header("x-key", "secret"))
        .on_failure(async |_: Context, failure: Failure| failure.decline())
        .finally(async |_: Context, _: Outcome| ())
        .build()
        .unwrap();
    let description = Description::new(&flow, "photos");
    let json = serde_json::to_string_pretty(&description).unwrap();
    assert!(!json.contains("secret"), "{json}");
    insta::assert_snapshot!(json, @r#"
    {
      "name": "photos",
      "fingerprint": "de79441686e935dfca92fd61de92fe8a",
      "phases": [
        {
          "number": 1,
          "steps": [
            {
              "number": 1,
              "name": "modifier `check`",
              "kind": "modifier"
            },
            {
              "number": 2,
              "name": "function `facedetect`",
              "kind": "call",
              "function": "facedetect",
              "sync": false
            },
            {
              "number": 3,
              "name": "function `compress`",
              "kind": "call",
              "function": "compress",
              "sync": true,
              "method": "PUT",
              "headers": [
                "authorization"
              ],
              "query": [
                "token",
                "file"
              ],
              "timeout": "1s500ms",
              "attempts": 3,
              "on_failure": true,
              "on_response": true
            }
          ]
        },
        {
          "number": 2,
          "steps": [
            {
              "number": 4,
              "name": "function `colorify`",
              "kind": "call",
              "function": "colorify",
              "sync": false
            },
            {
              "number": 5,
              "name": "callback to `storage.io`",
              "kind": "callback",
              "url": "http://storage.io/bucket",
              "headers": [
                "x-key"
              ]
            }
          ]
        }
      ],
      "state": "envelope",
      "on_failure": true,
      "finally": true
    }
    "#);
    assert_eq!(serde_json::from_str::<Description>(&json).unwrap(), description, "it reads back");
}

#[test]
fn the_smallest_flow_has_the_smallest_description() {
    let flow = Flow::builder().apply("f").build().unwrap();
    let json = serde_json::to_string(&Description::new(&flow, "")).unwrap();
    insta::assert_snapshot!(json, @r#"{"name":"","fingerprint":"87d6544cd7218acb84db370d57ecc7cd","phases":[{"number":1,"steps":[{"number":1,"name":"function `f`","kind":"call","function":"f","sync":false}]}],"state":"envelope","on_failure":false,"finally":false}"#);
}
