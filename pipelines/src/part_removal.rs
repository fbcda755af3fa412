//! Removes parts that no run names. A run may begin in another process meanwhile, and name one of them. No lock is needed for
//! that, which not every store could have: each side says what it does before it looks.
//!
//! - Who begins a run writes the record, which names the parts, and then lists the parts again.
//! - Who removes a part moves it aside, and then reads the records again. A part that a record names by now is put back.
//!
//! Whatever the order, one of the two sees the other. A part that a killed process left aside is put back or deleted by
//! [`collect_orphans`], after a time in which no process can be between the two steps.

use std::hash::{BuildHasher, RandomState};

use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::causes;
use crate::named_parts::NamedParts;
use crate::plan::is_part_key;
use crate::run::StoredRuns;
use crate::store::{Store, StoreError};
use crate::tables::scores::SCORES;

/// The folder of parts that are being removed: `removed/<process>/<key of the part>`.
pub const REMOVED: &str = "removed";

/// How long a part is kept that no run names, and a part that is aside: longer than a process takes from the listing of
/// parts to a run's record, or from one step of a removal to the next.
pub const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Keys of the parts that were removed.
    pub removed: Vec<String>,
    /// Keys of the parts that an interrupted removal had left aside, and that were put back.
    pub restored: Vec<String>,
    /// Paths of files that a killed process had not finished, and that were removed.
    pub unfinished: Vec<String>,
}

/// A part that is being removed.
struct Aside {
    key: String,
    aside_key: String,
}

/// Removes those of the given parts that no run's record names, and returns their keys. Removes nothing if a record cannot be
/// read.
///
/// # Errors
/// If the store fails.
pub async fn remove_unnamed(store: &Store, keys: Vec<String>) -> Result<Vec<String>, StoreError> {
    let aside = set_aside(store, keys).await?;
    finish(store, aside).await
}

/// Moves the parts aside that no record names.
async fn set_aside(store: &Store, keys: Vec<String>) -> Result<Vec<Aside>, StoreError> {
    let mut aside = Vec::new();
    if keys.is_empty() {
        return Ok(aside);
    }
    let Some(named) = named_parts(store).await? else { return Ok(aside) };
    let process = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    for key in keys.into_iter().filter(|key| !named.contains(key)) {
        let aside_key = format!("{REMOVED}/{process}/{key}");
        match store.get(&key).await {
            Err(error) if error.is_not_found() => continue,
            bytes => store.put(&aside_key, bytes?).await?,
        }
        store.delete(&key).await?;
        aside.push(Aside { key, aside_key });
    }
    Ok(aside)
}

/// Puts the parts back that a record names by now, and deletes the others.
async fn finish(store: &Store, aside: Vec<Aside>) -> Result<Vec<String>, StoreError> {
    let mut removed = Vec::new();
    if aside.is_empty() {
        return Ok(removed);
    }
    let named = named_parts(store).await?;
    for Aside { key, aside_key } in aside {
        if named.as_ref().is_none_or(|named| named.contains(&key)) {
            put_back(store, &aside_key, &key).await?;
        } else {
            info!(part = key, "a part that no run names was removed");
            removed.push(key);
        }
        delete_aside(store, &aside_key).await?;
    }
    Ok(removed)
}

/// Deletes a part that is aside, with the folders that become empty.
async fn delete_aside(store: &Store, aside_key: &str) -> Result<(), StoreError> {
    store.delete(aside_key).await?;
    let mut folder = aside_key;
    while let Some((above, _)) = folder.rsplit_once('/') {
        store.remove_empty_folder(above).await;
        folder = above;
    }
    Ok(())
}

/// Removes the parts that no run has named for longer than `grace`, finishes removals that were interrupted, and removes files
/// that were not finished. Leaves all parts if a record cannot be read, or if no run names a part: then the records may be
/// elsewhere.
///
/// # Errors
/// If the store fails.
pub async fn collect_orphans(store: &Store, grace: SignedDuration) -> Result<Collection, StoreError> {
    let mut collection = Collection { unfinished: store.remove_unfinished(grace).await?, ..Collection::default() };
    let Some(named) = named_parts(store).await?.filter(|named| !named.is_empty()) else { return Ok(collection) };
    for aside_key in list_keys(store, REMOVED).await? {
        let part = aside_key.splitn(3, '/').nth(2).map(str::to_owned);
        let Some(key) = part.filter(|key| is_part_key(key)) else { continue };
        if !is_older(store, &aside_key, grace).await? {
            continue;
        }
        if named.contains(&key) && put_back(store, &aside_key, &key).await? {
            collection.restored.push(key);
        }
        delete_aside(store, &aside_key).await?;
    }
    let mut old = Vec::new();
    for key in find_orphans(store, &named).await? {
        if is_older(store, &key, grace).await? {
            old.push(key);
        }
    }
    collection.removed = remove_unnamed(store, old).await?;
    Ok(collection)
}

/// Returns the keys of the parts in a store that no run needs, sorted.
async fn find_orphans(store: &Store, named: &NamedParts) -> Result<Vec<String>, StoreError> {
    let mut keys = list_keys(store, SCORES).await?;
    keys.retain(|key| is_part_key(key) && !named.needs(key));
    keys.sort_unstable();
    Ok(keys)
}

/// Returns which parts a store's runs need. None, and a warning, if a record cannot be read.
async fn named_parts(store: &Store) -> Result<Option<NamedParts>, StoreError> {
    let StoredRuns { records, unreadable, .. } = StoredRuns::read(store).await?;
    for (run, error) in &unreadable {
        warn!(%run, error = %causes(error), "no part is removed: the run may name it");
    }
    Ok(unreadable.is_empty().then(|| NamedParts::of(&records)))
}

/// Puts a part back that was moved aside, unless it was made again. Returns whether it was put back.
async fn put_back(store: &Store, aside_key: &str, key: &str) -> Result<bool, StoreError> {
    match store.head(key).await {
        Err(error) if error.is_not_found() => {}
        other => return other.map(|_| false),
    }
    match store.get(aside_key).await {
        Err(error) if error.is_not_found() => return Ok(false),
        bytes => store.put(key, bytes?).await?,
    }
    info!(part = key, "a part was put back: a run names it");
    Ok(true)
}

/// Returns whether an object was written longer ago than `age`. A missing object was not.
async fn is_older(store: &Store, key: &str, age: SignedDuration) -> Result<bool, StoreError> {
    match store.modified(key).await {
        Err(error) if error.is_not_found() => Ok(false),
        written => Ok(Timestamp::now().duration_since(written?) > age),
    }
}

async fn list_keys(store: &Store, folder: &str) -> Result<Vec<String>, StoreError> {
    store.list(folder).map_ok(|object| object.key).try_collect().await
}

#[cfg(test)]
mod tests;
