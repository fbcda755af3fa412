//! Scenes: a picture without haze and its distances, rendered by a small ray caster over analytic shapes. A scene is a
//! function of the seed and its number, at any size. This module does not depend on haze.

mod backdrop;
mod generate;
mod indoors;
mod material;
mod outdoor_objects;
mod outdoors;
mod renderer;
mod shape;
mod world;

pub(crate) use generate::generate_scene;
