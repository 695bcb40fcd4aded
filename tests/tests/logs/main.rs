//! Logs as readers see them: live, from any place, resumable, and always a prefix of what the script wrote.

mod prefix;
mod reading;
