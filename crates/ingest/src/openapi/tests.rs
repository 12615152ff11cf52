//! The description, held against what is served.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use model::{Bucket, EventName, Prefix};
use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Value, json};

use super::document;
use crate::firehose::FIREHOSE;
use crate::fixture::{Fixture, get, post};
use crate::idempotency::{check_id, request_key};
use crate::routes::{BULK, SEND, routes};

fn description() -> Value {
    serde_json::from_slice(&document()).unwrap()
}

/// What a path of the description is called, for a path that is asked for.
fn template(document: &Value, path: &str) -> Option<String> {
    let asked: Vec<&str> = path.split('/').collect();
    let fits = |template: &&String| {
        let parts: Vec<&str> = template.split('/').collect();
        let fits = |(part, asked): (&&str, &&str)| {
            part == asked || (part.starts_with('{') && !asked.is_empty())
        };
        parts.len() == asked.len() && parts.iter().zip(&asked).all(fits)
    };
    document["paths"].as_object().unwrap().keys().find(fits).cloned()
}

/// Fails where an answer is not one that the description has. Every answer of a
/// [`Fixture`] comes through here; those of Firehose's interface AWS describes.
pub(crate) async fn check(method: &Method, path: &str, answer: Response<Body>) -> Response<Body> {
    if path == FIREHOSE {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let document = description();
    let operation = template(&document, path).and_then(|template| {
        let method = method.as_str().to_lowercase();
        document["paths"][template].get(method).cloned()
    });
    let status = parts.status.as_u16();
    let Some(operation) = operation else {
        assert!(
            status == 404 || status == 405 || *method == Method::HEAD,
            "{method} {path}: {status}"
        );
        return Response::from_parts(parts, Body::from(bytes));
    };
    let described = &operation["responses"][status.to_string()];
    assert!(described.is_object(), "{method} {path}: no {status} is described");
    let media = parts.headers["content-type"].to_str().unwrap();
    let content = &described["content"][media];
    assert!(content.is_object(), "{method} {path}: no {media} with {status}");
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    if let Err(why) = validate(&document, &content["schema"], &body) {
        panic!("{method} {path}: {body}: {why}");
    }
    if media == "application/problem+json" {
        let slug = body["type"].as_str().unwrap().rsplit(':').next().unwrap();
        assert!(content["examples"][slug].is_object(), "{method} {path}: no {slug} is described");
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// As much of JSON Schema as the description has of answers. An unknown keyword fails.
fn validate(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().ok_or("no schema")? {
        let holds = match keyword.as_str() {
            "$ref" => return validate(document, resolve(document, rule), value),
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                types.iter().any(|kind| is_of_type(kind.as_str().unwrap(), value))
            }
            "properties" => {
                let members = value.as_object().ok_or("not an object")?;
                for (name, member) in members {
                    let schema = rule.get(name).ok_or(format!("{name} is not described"))?;
                    validate(document, schema, member).map_err(|why| format!("{name}: {why}"))?;
                }
                true
            }
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|name| value.get(name.as_str().unwrap()).is_some()),
            "items" => {
                for item in value.as_array().ok_or("not an array")? {
                    validate(document, rule, item)?;
                }
                true
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.is_null() || value.as_u64() >= rule.as_u64(),
            "maximum" => value.is_null() || value.as_u64() <= rule.as_u64(),
            "minItems" => {
                value.as_array().map(Vec::len)
                    >= rule.as_u64().and_then(|it| usize::try_from(it).ok())
            }
            "minLength" => {
                value.as_str().map(str::len)
                    >= rule.as_u64().and_then(|it| usize::try_from(it).ok())
            }
            "maxLength" => {
                value.as_str().map(str::len)
                    <= rule.as_u64().and_then(|it| usize::try_from(it).ok())
            }
            "pattern"
            | "format"
            | "description"
            | "additionalProperties"
            | "example"
            | "examples" => true,
            other => return Err(format!("the keyword {other} is not known here")),
        };
        if !holds {
            return Err(format!("{value} is against {keyword}: {rule}"));
        }
    }
    Ok(())
}

fn is_of_type(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known here"),
    }
}

fn resolve<'d>(document: &'d Value, reference: &Value) -> &'d Value {
    let reference = reference.as_str().unwrap();
    let place = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
    place.unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// Each operation: path, method, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| (path.clone(), method, operation))
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn the_document_is_openapi_3_1_and_hangs_together() {
    fn references(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").cloned());
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = description();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10);
    for reference in &found {
        assert!(resolve(&document, reference).is_object());
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}");
        for field in ["summary", "description"] {
            assert!(
                operation[field].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {field}"
            );
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path = parameters.iter().filter(|it| it["in"] == "path");
        let named: BTreeSet<String> = in_path
            .map(|it| {
                assert_eq!(it["required"], true, "{name}");
                format!("{{{}}}", it["name"].as_str().unwrap())
            })
            .collect();
        let in_template = path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned);
        assert_eq!(named, in_template.collect(), "{name}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(status.parse::<u16>().is_ok_and(|it| (200..600).contains(&it)), "{name}");
            assert!(!response["description"].as_str().unwrap().is_empty(), "{name}: {status}");
            assert!(response["content"].is_object(), "{name}: {status}");
        }
        assert!(operation["responses"]["200"].is_object(), "{name}");
        for security in operation["security"].as_array().expect("it is said of each") {
            for scheme in security.as_object().unwrap().keys() {
                assert!(document["components"]["securitySchemes"][scheme].is_object(), "{name}");
            }
        }
    }
}

/// What [`routes`] has is served and described by construction; so nothing else may be served.
#[tokio::test]
async fn what_is_served_is_described_and_the_other_way_round() {
    let document = description();
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations(&document) {
        described.entry(path).or_default().insert(method.to_uppercase());
    }
    assert_eq!(described.len(), routes().len());
    let fixture = Fixture::new(|_| {});
    for (template, methods) in &described {
        let path = template.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let request = Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
            let answer = fixture.answer(request).await;
            let body = answer.headers().get("allow").cloned();
            let is_served = answer.status() != 405;
            assert_eq!(is_served, methods.contains(method), "{method} {template}");
            if let Some(allow) = body {
                let allow: BTreeSet<&str> = allow.to_str().unwrap().split(',').collect();
                // axum serves HEAD wherever it serves GET.
                let allow: BTreeSet<_> = allow.into_iter().filter(|it| *it != "HEAD").collect();
                assert_eq!(allow, methods.iter().map(String::as_str).collect(), "{template}");
            }
        }
    }
    let source = include_str!("../routes.rs");
    let beside = [".route(route.path, ", ".route(FIREHOSE, "].map(|it| source.matches(it).count());
    assert_eq!(beside, [1, 1]);
    assert_eq!(source.matches(".route(").count(), 2, "a route beside those of routes()");
    for other in [".route_service(", ".nest(", ".nest_service(", ".merge("] {
        assert!(!source.contains(other), "a route beside those of routes()");
    }
}

#[tokio::test]
async fn it_is_served_without_a_token() {
    let fixture = Fixture::new(|config| {
        config.rules.auth =
            crate::config::Auth::Tokens(vec![crate::fixture::token("one", "my-bucket/*")]);
    });
    let (status, headers, served) = fixture.json(get("/openapi.json", &[])).await;
    assert_eq!((status, &headers["content-type"]), (200, &"application/json".parse().unwrap()));
    assert_eq!(served, description());
}

#[test]
fn every_problem_is_described_somewhere() {
    let source: String = include_str!("../kind.rs").split_whitespace().collect();
    let parts: Vec<&str> = source.split("\",S::").collect();
    let known: BTreeSet<&str> =
        parts[..parts.len() - 1].iter().filter_map(|part| part.rsplit('"').next()).collect();
    assert!(known.len() > 25, "{known:?}");
    let document = description();
    let mut described = BTreeSet::from(["method-not-allowed".to_owned()]);
    for (.., operation) in operations(&document) {
        for response in operation["responses"].as_object().unwrap().values() {
            let examples = &response["content"]["application/problem+json"]["examples"];
            described.extend(examples.as_object().into_iter().flat_map(|it| it.keys().cloned()));
        }
    }
    assert_eq!(described.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

#[tokio::test]
async fn the_examples_are_taken() {
    let fixture = Fixture::new(|config| config.max_destinations_per_minute = 10);
    let document = description();
    let mut tried = 0;
    for (path, media) in [
        (SEND, "application/json"),
        (BULK, "application/json"),
        (BULK, "application/x-ndjson"),
        (BULK, "text/plain"),
    ] {
        let content = &document["paths"][path]["post"]["requestBody"]["content"][media];
        for (name, example) in content["examples"].as_object().unwrap() {
            let body = match &example["value"] {
                Value::String(lines) => lines.clone(),
                value => value.to_string(),
            };
            let asked = path.replace("{bucket}", "my-bucket");
            let (status, _, answer) =
                fixture.json(post(&asked, &[("content-type", media)], body)).await;
            assert_eq!(status, 200, "{path} {media} {name}: {answer}");
            tried += 1;
        }
    }
    assert_eq!(tried, 5);
}

#[tokio::test]
async fn an_event_has_the_fields_that_are_described_and_no_others() {
    let fixture = Fixture::new(|_| {});
    let document = description();
    let schema = &document["components"]["schemas"]["SendEvent"];
    assert_eq!(schema["additionalProperties"], false);
    let fields: BTreeSet<&str> =
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let body = json!({"bucket": "my-bucket", "payload": 1, "another": 1}).to_string();
    let (_, _, problem) = fixture.json(post(SEND, &[], body)).await;
    let (_, listed) = problem["detail"].as_str().unwrap().split_once("an event has").unwrap();
    let listed: BTreeSet<&str> = listed.split('`').skip(1).step_by(2).collect();
    assert_eq!(listed, fields);
    for name in &fields {
        let mut event = json!({"bucket": "my-bucket", "payload": 1});
        event.as_object_mut().unwrap().remove(*name);
        let (status, ..) = fixture.json(post(SEND, &[], event.to_string())).await;
        let is_required = schema["required"].as_array().unwrap().contains(&json!(name));
        assert_eq!(status != 200, is_required, "{name}");
    }
}

/// A pattern of the description, as texts that fit it.
fn fitting(pointer: &str) -> impl Strategy<Value = String> {
    let document = description();
    let schema = document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"));
    let pattern = schema["pattern"].as_str().unwrap();
    let pattern = pattern.strip_prefix('^').unwrap().strip_suffix('$').unwrap().to_owned();
    let length = |name: &str| usize::try_from(schema[name].as_u64().unwrap_or(0)).unwrap();
    let (shortest, longest) = (length("minLength"), length("maxLength"));
    string_regex(&pattern)
        .unwrap()
        .prop_filter("a length", move |text| (shortest..=longest).contains(&text.len()))
}

const FIELDS: &str = "/components/schemas/SendEvent/properties";

proptest! {
    #[test]
    fn texts_of_the_described_forms_are_taken(
        bucket in fitting(&format!("{FIELDS}/bucket")),
        prefix in fitting(&format!("{FIELDS}/prefix")),
        event in fitting(&format!("{FIELDS}/event")),
        id in fitting(&format!("{FIELDS}/id")),
        key in fitting("/paths/~1v1~1send~1s3/post/parameters/0/schema"),
    ) {
        use model::DestinationError::{BucketIpAddress, BucketReserved};
        let taken = Bucket::new(&bucket);
        prop_assert!(matches!(taken, Ok(_) | Err(BucketIpAddress | BucketReserved(_))), "{bucket}");
        // Where there are so many, the last one is the slash that makes no difference.
        let most = prefix.len() <= 512 || prefix.ends_with('/');
        let prefix = if most { &*prefix } else { prefix.get(..512).unwrap_or_default() };
        let taken = Prefix::new(prefix);
        prop_assert!(taken.is_ok(), "{prefix:?}: {taken:?}");
        prop_assert!(EventName::new(&event).is_ok(), "{event:?}");
        prop_assert!(check_id(&id).is_ok(), "{id:?}");
        let mut headers = http::HeaderMap::new();
        headers.insert("idempotency-key", key.parse().unwrap());
        prop_assert!(request_key(&headers, &crate::auth::Grant::All).is_ok(), "{key}");
    }
}
