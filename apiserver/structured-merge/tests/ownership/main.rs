//! What the field manager does with whole objects: whose entries go on, which are joined, what is kept from the live
//! object, and in which words it refuses.

mod applies;
mod kubectl;
mod updates;
mod versions;
mod world;
