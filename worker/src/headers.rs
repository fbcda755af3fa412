//! Pictures' headers, for planning: the first bytes of each, many at once, and the rest only where a header needs it.

use std::sync::Arc;

use dqa_pipelines::dataset::{DataSet, Picture};
use dqa_pipelines::index::Header;
use dqa_pipelines::place::{Addresses, PlaceError};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::decode::{self, Limits, PictureError};

/// Requests under way at once: a store answers each in tens of milliseconds, whatever the others do.
const REQUESTS_MAX: usize = 64;

/// What is read first. Most headers end within the first few hundred bytes; a camera's JPEG has a preview before its.
const FIRST_BYTES: u64 = 64 << 10;

/// The header of each of `pictures` (places in `dataset.pictures`), in their order. An error is the store's, and may pass.
pub fn read<'a>(
    dataset: &'a DataSet,
    pictures: Vec<usize>,
    limits: &Limits,
) -> BoxStream<'a, (usize, Result<Header, PlaceError>)> {
    let addresses = Arc::new(Addresses::default());
    let limits = Arc::new(limits.clone());
    let one = move |index: usize| {
        let (addresses, limits) = (addresses.clone(), limits.clone());
        let picture = &dataset.pictures[index];
        let uri = dataset.uri(picture);
        async move { (index, read_one(&addresses, &uri, picture, &limits).await) }
    };
    futures::stream::iter(pictures).map(one).buffered(REQUESTS_MAX).boxed()
}

async fn read_one(addresses: &Addresses, uri: &str, picture: &Picture, limits: &Limits) -> Result<Header, PlaceError> {
    if picture.bytes > limits.bytes_max {
        let what = format!("{} bytes", picture.bytes);
        return Ok(unreadable(&PictureError::TooLarge { what, limit: limits.bytes_max }));
    }
    let first = addresses.read_first(uri, FIRST_BYTES.min(picture.bytes)).await?;
    let probed = match decode::probe(&first, limits) {
        Ok(header) => Ok(header),
        // The header goes on behind what was read (a TIFF's may be at its end): the file's own fault only in full.
        Err(_) if picture.bytes > FIRST_BYTES => decode::probe(&addresses.read(uri).await?, limits),
        Err(error) => Err(error),
    };
    Ok(match probed {
        Ok(header) => Header::Size { width: header.width, height: header.height },
        Err(error) => unreadable(&error),
    })
}

fn unreadable(error: &PictureError) -> Header {
    Header::Unreadable { code: error.code().to_string(), message: error.line() }
}
