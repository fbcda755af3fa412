//! Reads pictures by their addresses, if these may be read, and makes what browsers show of them.

use std::sync::Arc;

use bytes::Bytes;
use dqa_engine::decode::{Format, Limits, decode};
use dqa_model::Rgb8;
use dqa_pipelines::causes;
use dqa_pipelines::dataset::LoadPolicy;
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::store::StoreResolver;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::image_file::ImageFile;
use super::thumbnail;
use crate::error::SiteError;

/// Bytes of small pictures and maps that are kept.
const CACHE_BYTES: u64 = 128 << 20;

/// Pictures that are decoded at once. Each may take the memory of the limits' largest picture.
const DECODED_AT_ONCE: usize = 2;

/// Says whether an address may be read.
pub(crate) type AddressCheck = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Where a picture is, and the version of it that was scored.
#[derive(Clone, Debug)]
pub(crate) struct PictureSource {
    pub(crate) uri: String,
    /// Tells apart the pictures that an address has had, in the cache.
    pub(crate) version: String,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, ImageFile> for ByBytes {
    fn weight(&self, key: &String, file: &ImageFile) -> u64 {
        (key.len() + file.bytes.len()) as u64
    }
}

/// Reads pictures and keeps what was made of them.
pub(crate) struct PictureFiles {
    resolver: StoreResolver,
    allows: AddressCheck,
    limits: Limits,
    decoding: Semaphore,
    cache: Cache<String, ImageFile, ByBytes>,
}

impl PictureFiles {
    pub(crate) fn new(allows: AddressCheck) -> PictureFiles {
        PictureFiles {
            resolver: StoreResolver::default(),
            allows,
            limits: Limits::new(PictureLimits::default(), 1),
            decoding: Semaphore::new(DECODED_AT_ONCE),
            cache: Cache::with_weighter(4096, CACHE_BYTES, ByBytes),
        }
    }

    /// Returns whether an address may be read.
    pub(crate) fn allows(&self, uri: &str) -> bool {
        (self.allows)(uri)
    }

    /// Returns the policy for listing a run's data sets.
    pub(crate) fn load_policy(&self) -> LoadPolicy {
        let allows = self.allows.clone();
        LoadPolicy::restricted(move |address| match allows(address) {
            true => Ok(()),
            false => Err("it lies outside the folders that may be read (--roots)".into()),
        })
    }

    /// Returns a picture as a small JPEG.
    pub(crate) async fn thumbnail(&self, source: &PictureSource) -> Result<ImageFile, SiteError> {
        self.make("thumbnail", source, |picture| {
            let bytes = thumbnail::jpeg(&picture).map_err(|error| SiteError::Picture(causes(&error).to_string()))?;
            Ok(ImageFile { media_type: "image/jpeg", bytes: bytes.into() })
        })
        .await
    }

    /// Returns the file of a picture; a format that browsers do not show is turned into PNG.
    pub(crate) async fn original(&self, source: &PictureSource) -> Result<ImageFile, SiteError> {
        let bytes = self.read(source).await?;
        let media_type = match Format::detect(&bytes) {
            Ok(Format::Png) => "image/png",
            Ok(Format::Jpeg) => "image/jpeg",
            Ok(Format::Gif) => "image/gif",
            Ok(Format::WebP) => "image/webp",
            _ => {
                let png = |picture: Rgb8| Ok(ImageFile { media_type: "image/png", bytes: png(&picture)? });
                return self.make("png", source, png).await;
            }
        };
        Ok(ImageFile { media_type, bytes })
    }

    /// Decodes a picture, makes a file of it on a thread that may block, and keeps the file.
    pub(crate) async fn make<F>(&self, kind: &str, source: &PictureSource, make: F) -> Result<ImageFile, SiteError>
    where
        F: FnOnce(Rgb8) -> Result<ImageFile, SiteError> + Send + 'static,
    {
        let key = format!("{kind} {} {}", source.version, source.uri);
        let making = async {
            let _permit = self.decoding.acquire().await.expect("it is never closed");
            let bytes = self.read(source).await?;
            let limits = self.limits.clone();
            let work =
                move || make(decode(&bytes, &limits).map_err(|error| SiteError::Picture(causes(&error).to_string()))?);
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
                Err(SiteError::Picture("The picture could not be drawn: that failed unexpectedly.".to_owned()))
            })
        };
        self.cache.get_or_insert_async(&key, making).await
    }

    async fn read(&self, source: &PictureSource) -> Result<Bytes, SiteError> {
        let PictureSource { uri, .. } = source;
        if !self.allows(uri) {
            return Err(SiteError::NotAllowed(format!("{uri} lies outside the folders that may be read (--roots).")));
        }
        let bytes = self.resolver.read(uri).await?;
        if bytes.len() as u64 > self.limits.bytes_max {
            return Err(SiteError::TooLarge(format!("{uri} has {} bytes.", bytes.len())));
        }
        Ok(bytes)
    }
}

fn png(picture: &Rgb8) -> Result<Bytes, SiteError> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let written = image::write_buffer_with_format(
        &mut bytes,
        picture.pixels(),
        picture.width(),
        picture.height(),
        image::ExtendedColorType::Rgb8,
        image::ImageFormat::Png,
    );
    written.map_err(|error| SiteError::Picture(causes(&error).to_string()))?;
    Ok(bytes.into_inner().into())
}
