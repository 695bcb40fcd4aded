//! Rules against upstream's texts, when they are written and when objects are.
