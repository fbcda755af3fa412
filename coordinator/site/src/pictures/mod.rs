//! Files of pictures for pages: small JPEGs, the files themselves, and maps of the model's scores and attention. Memory is
//! bounded: few pictures are decoded at once, and results are kept in a cache of a fixed size.

mod files;
mod image_file;
mod maps;
mod thumbnail;

pub(crate) use files::{AddressCheck, PictureFiles, PictureSource};
pub(crate) use image_file::ImageFile;
pub(crate) use maps::{MapKind, MapMaker, RunModel};
