//! Names, ranges and resolver of a store in a folder of this machine.

use std::path::Path as FilePath;

use super::*;

#[tokio::test]
async fn odd_names_are_listed_read_and_addressed() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["plain.png", "with space.png", "100%.png", "a%20b.png", "hash#1.png", "q?x=1.png", "é/ü.png"];
    for name in names {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    let store = Store::open(dir.path().to_str().unwrap(), FilePath::new("")).unwrap();
    let listed: Vec<String> = store.list_sorted("").await.unwrap().into_iter().map(|o| o.key).collect();
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(listed, sorted);
    let resolver = StoreResolver::default();
    for name in names {
        assert_eq!(store.get(name).await.unwrap(), name);
        let address = store.address(name);
        assert_eq!(resolver.read(&address).await.unwrap(), name, "{address}");
        assert_eq!(resolver.head(&address).await.unwrap().version, store.head(name).await.unwrap().version);
        let range = ByteRange { offset: 1, bytes: name.len() as u64 - 2 };
        let part = store.range_address(name, range, "any &name#");
        let inner = &name.as_bytes()[1..name.len() - 1];
        assert_eq!(resolver.read(&part).await.unwrap(), inner, "{part}");
        assert_eq!(resolver.read_first(&part, 2).await.unwrap(), inner[..2], "{part}");
        assert_eq!(resolver.read_first(&part, 99).await.unwrap(), inner, "{part}");
        assert_eq!(resolver.head(&part).await.unwrap().bytes, inner.len() as u64);
    }
}

#[tokio::test]
async fn objects_are_written_read_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let address = dir.path().join("new/store").display().to_string();
    assert!(Store::open(&address, FilePath::new("")).is_err());
    let store = Store::create(&address, FilePath::new("")).unwrap();
    store.put("a/b.txt", "one".into()).await.unwrap();
    store.put("a/b.txt", "other".into()).await.unwrap();
    assert_eq!(store.get_first("a/b.txt", 2).await.unwrap(), "ot");
    assert_eq!(store.get_first("a/b.txt", 99).await.unwrap(), "other");
    assert_eq!(store.list_folders("").await.unwrap(), ["a"]);
    assert_eq!(store.list_sorted("a").await.unwrap()[0].key, "a/b.txt");
    store.delete("a/b.txt").await.unwrap();
    store.delete("a/b.txt").await.unwrap();
    assert!(store.get("a/b.txt").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn ranges_beyond_the_end_are_truncation_errors() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.tar"), "0123456789").unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), FilePath::new("")).unwrap();
    let resolver = StoreResolver::default();
    let part = |offset, bytes| store.range_address("x.tar", ByteRange { offset, bytes }, "m");
    assert_eq!(resolver.read(&part(3, 7)).await.unwrap(), "3456789");
    assert!(resolver.read(&part(3, 0)).await.unwrap().is_empty());
    let whole = resolver.head(&store.address("x.tar")).await.unwrap().version;
    assert_eq!(resolver.head(&part(3, 7)).await.unwrap().version, format!("{whole}-3-7"));
    for error in [resolver.read(&part(3, 8)).await.unwrap_err(), resolver.head(&part(3, 8)).await.unwrap_err()] {
        assert!(error.to_string().contains("has 7 of 8 bytes from offset 3 on"), "{error}");
    }
    let error = resolver.read(&format!("{}#top", store.address("x.tar"))).await.unwrap_err();
    assert!(error.to_string().contains("invalid range of bytes"), "{error}");
}

#[test]
fn invalid_addresses_are_refused() {
    for address in ["ftp://host/x", "s4://bucket/x", "file://host/x"] {
        let error = Store::open(address, FilePath::new("")).unwrap_err();
        assert!(error.to_string().contains(address), "{error}");
    }
}

#[tokio::test]
async fn an_object_is_replaced_only_if_it_is_the_one_that_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let local = Store::open(dir.path().to_str().unwrap(), FilePath::new("")).unwrap();
    let objects = Arc::new(object_store::memory::InMemory::new());
    let remote = Store::from_object_store(objects, Url::parse("s3://bucket/").unwrap());
    for store in [local, remote] {
        store.put("a/b.json", "one".into()).await.unwrap();
        let (bytes, read) = store.get_versioned("a/b.json").await.unwrap();
        assert_eq!(bytes, "one");
        let writes = ["two", "two", "two", "two"].map(|text| store.replace("a/b.json", text.into(), &read));
        let written = futures::future::join_all(writes).await;
        assert_eq!(written.iter().filter(|write| write.is_ok()).count(), 1, "{written:?}");
        assert!(written.into_iter().filter_map(Result::err).all(|error| error.is_changed()));
        assert_eq!(store.get("a/b.json").await.unwrap(), "two");
        let (_, read) = store.get_versioned("a/b.json").await.unwrap();
        store.delete("a/b.json").await.unwrap();
        assert!(store.replace("a/b.json", "three".into(), &read).await.unwrap_err().is_changed());
        assert!(store.get("a/b.json").await.unwrap_err().is_not_found());
    }
}
