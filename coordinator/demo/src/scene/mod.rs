//! Scenes: a picture without haze and its distances, rendered by a small ray caster over analytic shapes. A scene is a
//! function of the seed and its number, at any size. This module does not depend on haze.

mod backdrop;
mod clear_picture;
mod indoors;
mod material;
mod outdoor_objects;
mod outdoors;
mod renderer;
mod shape;
mod world;

pub(crate) use clear_picture::generate_scene;
