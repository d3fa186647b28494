//! Setting, getting and removing values.

use bytes::Bytes;
use tokio::task::JoinSet;

use super::subject::{Subject, describe, ensure};

const LARGEST: usize = 64 << 20;

/// Bytes that vary with their position, so that a part in the wrong place is noticed.
fn pattern(length: usize, seed: u8) -> Bytes {
    let mut state = u32::from(seed) + 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

pub(super) async fn set_and_get(Subject { manager, run }: Subject) -> Result<(), String> {
    let scope = Subject { manager: manager.clone(), run }.own("set-and-get");
    let value = Bytes::from_static(b"{\"a\":1}\n\0\xff\xfe");
    manager.set(&scope, "key", value.clone()).await.map_err(describe)?;
    for _ in 0..2 {
        let found = manager.get(&scope, "key").await.map_err(describe)?;
        ensure(found.as_ref() == Some(&value), || format!("{value:?} was set, but {found:?} was read"))?;
    }
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn absent(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("absent"));
    ensure(manager.get(&scope, "absent").await.map_err(describe)?.is_none(), || {
        "a missing key has a value".to_owned()
    })?;
    manager.remove(&scope, "absent").await.map_err(describe)?;
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn overwrite(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("overwrite"));
    for length in [10, 6 << 20, 3, 9 << 20, 0] {
        let value = pattern(length, 7);
        manager.set(&scope, "key", value.clone()).await.map_err(describe)?;
        let found = manager.get(&scope, "key").await.map_err(describe)?;
        ensure(found == Some(value), || format!("after a write of {length} bytes, another value was read"))?;
    }
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn remove(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("remove"));
    for key in ["a", "ab", "b"] {
        manager.set(&scope, key, Bytes::copy_from_slice(key.as_bytes())).await.map_err(describe)?;
    }
    manager.remove(&scope, "a").await.map_err(describe)?;
    manager.remove(&scope, "a").await.map_err(describe)?;
    for (key, there) in [("a", false), ("ab", true), ("b", true)] {
        let found = manager.get(&scope, key).await.map_err(describe)?.is_some();
        ensure(found == there, || format!("after `a` was removed, `{key}` exists: {found}, expected: {there}"))?;
    }
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn sizes(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("sizes"));
    for length in [0, 1, 4096, 1 << 20, (5 << 20) + 1, (8 << 20) + 1, LARGEST] {
        let value = pattern(length, 1);
        manager.set(&scope, "key", value.clone()).await.map_err(describe)?;
        match manager.get(&scope, "key").await.map_err(describe)? {
            Some(found) if found == value => {}
            Some(found) => return Err(format!("{length} bytes were set, but {} other bytes were read", found.len())),
            None => return Err(format!("{length} bytes were set, but no value was found")),
        }
    }
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn keys(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("keys"));
    let long = "k".repeat(2000);
    let longer = format!("{long}2");
    let odd = [
        "",
        " ",
        ".",
        "..",
        "a",
        "A",
        "a/b",
        "a//b",
        "/a",
        "a/",
        "../a",
        "a\\b",
        "%61",
        "=61",
        "a b",
        "ä",
        "a\u{308}",
        "日本語",
        "\0",
        "\n",
        "?",
        "*",
        "#",
        "a:b",
        "state/a",
        "🦀",
        &long,
        &longer,
    ];
    for key in odd {
        let value = Bytes::from(format!("value of {key}"));
        manager.set(&scope, key, value).await.map_err(|error| format!("key {}: {}", shown(key), describe(error)))?;
    }
    for key in odd {
        let found =
            manager.get(&scope, key).await.map_err(|error| format!("key {}: {}", shown(key), describe(error)))?;
        let expected = Bytes::from(format!("value of {key}"));
        ensure(found == Some(expected), || format!("key {} has another value, or none", shown(key)))?;
    }
    manager.remove_request(&scope).await.map_err(describe)?;
    for key in odd {
        let found = manager.get(&scope, key).await.map_err(describe)?;
        ensure(found.is_none(), || format!("key {} still exists after its request was removed", shown(key)))?;
    }
    Ok(())
}

/// A key as shown in messages. A long one is shortened.
fn shown(key: &str) -> String {
    match key.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}… of {} bytes", &key[..end], key.len()),
        None => format!("{key:?}"),
    }
}

pub(super) async fn get_many(subject: Subject) -> Result<(), String> {
    let (manager, scope) = (&subject.manager, subject.own("get-many"));
    let names: Vec<String> = (0..300).map(|number| format!("result/{number}")).collect();
    for (number, name) in names.iter().enumerate().filter(|(number, _)| number % 3 != 0) {
        // Two large values, so that managers that write in parts do so here as well.
        let length = if number % 150 == 1 { (6 << 20) + number } else { number };
        manager.set(&scope, name, pattern(length, 5)).await.map_err(describe)?;
    }
    manager.set(&scope, "over@0", Bytes::from("over")).await.map_err(describe)?;
    // The order is reversed, and one key appears twice. Managers may store `over@0` separately, because it outlives the request.
    let mut keys: Vec<&str> = names.iter().rev().map(String::as_str).collect();
    keys.extend(["over@0", "result/1"]);
    let found = manager.get_many(&scope, &keys).await.map_err(describe)?;
    ensure(found.len() == keys.len(), || format!("{} keys were asked for, {} answered", keys.len(), found.len()))?;
    for (key, found) in keys.iter().zip(found) {
        let expected = manager.get(&scope, key).await.map_err(describe)?;
        ensure(found == expected, || format!("`{key}` has another value than when it is read alone"))?;
    }
    let none = manager.get_many(&scope, &[]).await.map_err(describe)?;
    ensure(none.is_empty(), || format!("no key was asked for, {} answered", none.len()))?;
    manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn get_across(subject: Subject) -> Result<(), String> {
    let manager = &subject.manager;
    let flow = |number: usize| if number.is_multiple_of(2) { "across" } else { "across-2" };
    let scopes: Vec<_> =
        (0..150).map(|number| subject.scope(flow(number), &format!("across-{}", number / 2))).collect();
    for (number, scope) in scopes.iter().enumerate().filter(|(number, _)| number % 3 != 0) {
        // One large value, so that managers that write in parts do so here as well.
        let length = if number == 77 { 6 << 20 } else { number };
        manager.set(scope, "over@0", pattern(length, 5)).await.map_err(describe)?;
        manager.set(scope, "result/1", pattern(number, 6)).await.map_err(describe)?;
    }
    // The order is reversed, and one scope appears twice.
    let asked: Vec<_> = scopes.iter().rev().chain(&scopes[1..2]).cloned().collect();
    for key in ["over@0", "result/1"] {
        let found = manager.get_across(&asked, key).await.map_err(describe)?;
        ensure(found.len() == asked.len(), || format!("{} were asked for, {} answered", asked.len(), found.len()))?;
        for (scope, found) in asked.iter().zip(found) {
            let expected = manager.get(scope, key).await.map_err(describe)?;
            ensure(found == expected, || format!("`{key}` of {scope:?} differs from when it is read alone"))?;
        }
    }
    let none = manager.get_across(&[], "over@0").await.map_err(describe)?;
    ensure(none.is_empty(), || format!("no request was asked for, {} answered", none.len()))?;
    for scope in &scopes {
        manager.remove_request(scope).await.map_err(describe)?;
    }
    Ok(())
}

pub(super) async fn isolation(subject: Subject) -> Result<(), String> {
    let manager = &subject.manager;
    let scopes = [("a", "r"), ("a", "r2"), ("b", "r"), ("a-r", "x"), ("a", "r-x"), ("a", "r:x"), ("a.b", "r")];
    let scopes = scopes.map(|(flow, request)| subject.scope(flow, request));
    for (number, scope) in scopes.iter().enumerate() {
        manager.set(scope, "key", Bytes::from(number.to_string())).await.map_err(describe)?;
    }
    for (number, scope) in scopes.iter().enumerate() {
        let found = manager.get(scope, "key").await.map_err(describe)?;
        ensure(found == Some(Bytes::from(number.to_string())), || {
            format!("{scope:?} sees the value of another scope: {found:?}")
        })?;
    }
    for scope in &scopes {
        manager.remove_request(scope).await.map_err(describe)?;
    }
    Ok(())
}

pub(super) async fn concurrent_writers(subject: Subject) -> Result<(), String> {
    let scope = subject.own("writers");
    let written: Vec<Bytes> = (0..16u8).map(|writer| pattern(5 << 20, writer)).collect();
    let mut writers = JoinSet::new();
    for value in written.clone() {
        let (manager, scope) = (subject.manager.clone(), scope.clone());
        writers.spawn(async move { manager.set(&scope, "key", value).await });
    }
    while let Some(done) = writers.join_next().await {
        done.map_err(|error| error.to_string())?.map_err(describe)?;
    }
    let found = subject.manager.get(&scope, "key").await.map_err(describe)?;
    let whole = found.is_some_and(|found| written.contains(&found));
    ensure(whole, || "the value is not one of those that were written".to_owned())?;
    subject.manager.remove_request(&scope).await.map_err(describe)
}

pub(super) async fn remove_request(subject: Subject) -> Result<(), String> {
    let manager = &subject.manager;
    let (scope, other) = (subject.own("ended"), subject.own("ended-not"));
    for number in 0..30 {
        manager.set(&scope, &format!("key {number}"), pattern(100, number)).await.map_err(describe)?;
    }
    manager.set(&scope, "large", pattern(9 << 20, 3)).await.map_err(describe)?;
    manager.set(&other, "key 0", pattern(100, 0)).await.map_err(describe)?;
    manager.remove_request(&scope).await.map_err(describe)?;
    for key in (0..30).map(|number| format!("key {number}")).chain(["large".to_owned()]) {
        let found = manager.get(&scope, &key).await.map_err(describe)?;
        ensure(found.is_none(), || format!("`{key}` still exists after its request was removed"))?;
    }
    let kept = manager.get(&other, "key 0").await.map_err(describe)?;
    ensure(kept.is_some(), || "the value of another request was removed as well".to_owned())?;
    manager.remove_request(&other).await.map_err(describe)
}
