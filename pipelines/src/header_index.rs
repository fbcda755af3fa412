//! A cache of the headers of a data set's pictures, stored beside the results as `index/by_dataset=<name>/headers.parquet`.
//! The next plan reads only the headers of pictures that changed. Without the cache a plan is slower, and the same.
//!
//! Sizes are used whatever version wrote them. Errors are used only if the same version of the decoders wrote them: another
//! version may be able to read those pictures.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;

use crate::causes;
use crate::dataset::{Picture, PictureHeader};
use crate::digest;
use crate::names::DatasetName;
use crate::store::{Store, StoreError};
use crate::tables::parquet_file;

/// The version of the decoders. Raise it whenever they read or refuse other files than before. Version 2 added GIF and PNM, and
/// TIFF with JPEG, Zstandard, planes in tiles, and tiles in the tags of strips. Version 3 refuses headers that are all over a long
/// file.
pub const DECODER_VERSION: u32 = 3;

/// The key in the index's Parquet footer of the decoder version that wrote it.
const DECODER_VERSION_KEY: &str = "dqa.decoders";

/// Error codes that depend on a run's limits and views. They may not hold for another run, so the index does not store them.
const RUN_DEPENDENT_CODES: [&str; 2] = ["too_large", "too_small"];

/// The known headers of a data set, about 40 bytes a picture.
#[derive(Debug, Default)]
pub struct HeaderIndex {
    headers: HashMap<u128, PictureHeader>,
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("picture", DataType::Utf8, false),
        Field::new("width", DataType::UInt32, true),
        Field::new("height", DataType::UInt32, true),
        Field::new("error_code", DataType::Utf8, true),
        Field::new("error_message", DataType::Utf8, true),
    ]))
});

impl HeaderIndex {
    /// Reads the index of a data set. It is empty if it does not exist, or is damaged.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read(store: &Store, dataset: &DatasetName) -> Result<HeaderIndex, StoreError> {
        let bytes = match store.get(&key(dataset)).await {
            Err(error) if error.is_not_found() => return Ok(HeaderIndex::default()),
            other => other?,
        };
        let read = || -> Result<HeaderIndex, String> {
            let decoders =
                parquet_file::footer_value(&bytes, DECODER_VERSION_KEY).map_err(|error| causes(&error).to_string())?;
            let batches = parquet_file::read(bytes).map_err(|error| causes(&error).to_string())?;
            let mut index = HeaderIndex::decode(&batches).map_err(|error| causes(&error).to_string())?;
            if decoders != Some(DECODER_VERSION.to_string()) {
                index.headers.retain(|_, header| header.size().is_some());
            }
            Ok(index)
        };
        Ok(read().unwrap_or_else(|error| {
            tracing::warn!(%dataset, error, "the index of headers is damaged and is rebuilt");
            HeaderIndex::default()
        }))
    }

    /// Writes all known headers. None is dropped: a plan may cover only some of the data set's algorithms.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn write(&self, store: &Store, dataset: &DatasetName) -> Result<(), StoreError> {
        let mut known: Vec<(&u128, &PictureHeader)> = self.headers.iter().collect();
        known.sort_unstable_by_key(|(identity, _)| **identity);
        let number =
            |of: fn(&PictureHeader) -> Option<u32>| known.iter().map(|(_, header)| of(header)).collect::<UInt32Array>();
        let text = |of: fn(&PictureHeader) -> Option<&str>| {
            known.iter().map(|(_, header)| of(header)).collect::<StringArray>()
        };
        let picture: StringArray = known.iter().map(|(identity, _)| Some(format!("{identity:032x}"))).collect();
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(picture),
            Arc::new(number(|header| header.size().map(|(width, _)| width))),
            Arc::new(number(|header| header.size().map(|(_, height)| height))),
            Arc::new(text(|header| header.error().map(|(code, _)| code))),
            Arc::new(text(|header| header.error().map(|(_, message)| message))),
        ];
        let batch = RecordBatch::try_new(SCHEMA.clone(), columns).expect("the columns are made to the schema");
        let facts = [(DECODER_VERSION_KEY, DECODER_VERSION.to_string())];
        let bytes = parquet_file::write(&SCHEMA, &[batch], &facts).expect("memory takes what is made to the schema");
        store.put(&key(dataset), bytes).await
    }

    /// Returns the header of a picture in its current version, if it is known.
    pub fn get(&self, picture: &Picture) -> Option<&PictureHeader> {
        self.headers.get(&identity(picture))
    }

    /// Adds a header that was read. Errors that depend on a run (too large, too small) are not stored.
    pub fn insert(&mut self, picture: &Picture, header: PictureHeader) {
        if !is_run_dependent(&header) {
            self.headers.insert(identity(picture), header);
        }
    }

    fn decode(batches: &[RecordBatch]) -> Result<HeaderIndex, ArrowError> {
        let mut headers = HashMap::new();
        for batch in batches {
            if batch.schema().fields() != SCHEMA.fields() {
                return Err(ArrowError::SchemaError("it has other columns".to_owned()));
            }
            let text = |column: usize| batch.column(column).as_string::<i32>();
            let number = |column: usize| batch.column(column).as_primitive::<UInt32Type>();
            for row in 0..batch.num_rows() {
                let picture = u128::from_str_radix(text(0).value(row), 16);
                let picture = picture.map_err(|error| ArrowError::ParseError(causes(&error).to_string()))?;
                let header = if text(3).is_valid(row) {
                    let (code, message) = (text(3).value(row).to_owned(), text(4).value(row).to_owned());
                    PictureHeader::Unreadable { code, message }
                } else {
                    PictureHeader::Size { width: number(1).value(row), height: number(2).value(row) }
                };
                // Older versions of dqa stored such errors: those pictures are read again.
                if !is_run_dependent(&header) {
                    headers.insert(picture, header);
                }
            }
        }
        Ok(HeaderIndex { headers })
    }
}

fn is_run_dependent(header: &PictureHeader) -> bool {
    header.error().is_some_and(|(code, _)| RUN_DEPENDENT_CODES.contains(&code))
}

/// Returns the key of a data set's cache.
pub(crate) fn key(dataset: &DatasetName) -> String {
    format!("{}/headers.parquet", folder(dataset))
}

/// Returns the folder of a data set's cache.
pub(crate) fn folder(dataset: &DatasetName) -> String {
    format!("index/by_dataset={dataset}")
}

/// Returns the key of one version of one picture.
fn identity(picture: &Picture) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for field in [&*picture.image, picture.uri.as_deref().unwrap_or(""), &*picture.version] {
        digest::update_field(&mut hasher, field.as_bytes());
    }
    let digest = hasher.finalize();
    u128::from_le_bytes(digest.as_bytes()[..16].try_into().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn picture(image: &str, version: &str) -> Picture {
        Picture {
            algorithm: "a".parse().unwrap(),
            scene: "s".into(),
            scene_group: None,
            image: image.into(),
            uri: None,
            bytes: 1,
            version: version.into(),
            mos: None,
            raters: None,
            hazy: None,
            clear: None,
        }
    }

    #[tokio::test]
    async fn the_next_plan_knows_what_did_not_change() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let name: DatasetName = "d".parse().unwrap();
        let mut index = HeaderIndex::read(&store, &name).await.unwrap();
        let (good, bad) = (picture("1.png", "v"), picture("2.png", "v"));
        let unreadable = PictureHeader::Unreadable { code: "corrupt".into(), message: "it is".into() };
        index.insert(&good, PictureHeader::Size { width: 640, height: 480 });
        index.insert(&bad, unreadable.clone());
        index.write(&store, &name).await.unwrap();
        let index = HeaderIndex::read(&store, &name).await.unwrap();
        assert_eq!(index.get(&good), Some(&PictureHeader::Size { width: 640, height: 480 }));
        assert_eq!(index.get(&bad), Some(&unreadable));
        assert_eq!(index.get(&picture("1.png", "w")), None, "it changed");
        // An error from one run's limits does not hold for the next run.
        let mut index = HeaderIndex::default();
        for code in RUN_DEPENDENT_CODES {
            index.insert(&good, PictureHeader::Unreadable { code: code.into(), message: "it is".into() });
            assert_eq!(index.get(&good), None);
        }

        let file = store.get(&key(&name)).await.unwrap();
        for decoders in [
            vec![],
            vec![(DECODER_VERSION_KEY, "1".to_owned())],
            vec![(DECODER_VERSION_KEY, (DECODER_VERSION + 1).to_string())],
        ] {
            let other = parquet_file::write(&SCHEMA, &parquet_file::read(file.clone()).unwrap(), &decoders).unwrap();
            store.put(&key(&name), other).await.unwrap();
            let index = HeaderIndex::read(&store, &name).await.unwrap();
            assert_eq!(index.get(&good), Some(&PictureHeader::Size { width: 640, height: 480 }), "{decoders:?}");
            assert_eq!(index.get(&bad), None, "other decoders may read it: {decoders:?}");
        }
        store.put(&key(&name), "no parquet".into()).await.unwrap();
        assert_eq!(HeaderIndex::read(&store, &name).await.unwrap().get(&good), None);
    }
}
