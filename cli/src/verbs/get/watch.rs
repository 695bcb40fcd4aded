//! Tables as they change: the list first, then a row for each change. A broken watch is taken up again where it
//! broke; where the server has forgotten that place, everything is listed again.

use std::time::Duration;

use serde_json::Value;

use super::{Columns, Output, Query, escape, items, pages};
use crate::discovery::Resource;
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::printer::object::{self, Form};
use crate::printer::{self, table::Table};
use crate::server::{JSON, TABLE};
use crate::session::Session;
use crate::target::Selection;

/// The wait before a watch is tried again.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn watch(session: &Session, selection: &Selection, query: &Query) -> Result<Exit, Failure> {
    let Selection { resource, names } = selection;
    let [collection, selectors] = [resource.collection(query.namespace.as_deref()), query.selectors.clone()];
    let only = match names.as_slice() {
        [] => String::new(),
        [name] => format!("&fieldSelector={}", escape(&format!("metadata.name={name}"))),
        _ => return Err(Failure::said("one object, or all of a kind, can be watched")),
    };
    let list = format!("{collection}?limit=5000{selectors}{only}");
    let mut columns = Columns::default();
    let mut table = None;
    loop {
        let accept = accept(query);
        let mut version = String::new();
        for page in pages(session, &list, accept, resource).await? {
            version = page
                .pointer("/metadata/resourceVersion")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned();
            if accept == TABLE {
                let rows = columns.take(page);
                show_rows(session, resource, query, &columns, &mut table, &rows)?;
            } else {
                items(page, resource)
                    .into_iter()
                    .try_for_each(|item| show_object(item, resource, query))?;
            }
        }
        follow(
            session,
            resource,
            query,
            &mut columns,
            &mut table,
            &format!("{collection}?watch=true&allowWatchBookmarks=true{selectors}{only}"),
            version,
        )
        .await?;
    }
}

fn accept(query: &Query) -> &'static str {
    if matches!(query.output, Output::Table | Output::Wide) {
        TABLE
    } else {
        JSON
    }
}

/// Follows changes until the server has forgotten the version last seen.
async fn follow(
    session: &Session,
    resource: &Resource,
    query: &Query,
    columns: &mut Columns,
    table: &mut Option<Table>,
    path: &str,
    mut version: String,
) -> Result<(), Failure> {
    loop {
        match session
            .server
            .lines(&format!("{path}&resourceVersion={version}"), accept(query))
            .await
        {
            Ok(mut lines) => {
                while let Ok(Some(line)) = lines.next().await {
                    let Ok(mut event) = serde_json::from_slice::<Value>(&line) else {
                        continue;
                    };
                    if event["type"] == "ERROR" {
                        return Ok(());
                    }
                    let bookmark = event["type"] == "BOOKMARK";
                    let object = event["object"].take();
                    if let Some(seen) = seen(&object) {
                        version = seen;
                    }
                    if bookmark {
                        continue;
                    }
                    if accept(query) == TABLE {
                        let rows = columns.take(object);
                        show_rows(session, resource, query, columns, table, &rows)?;
                    } else {
                        show_object(object, resource, query)?;
                    }
                }
            }
            Err(error) if failure::code_of(&error) == Some(410) => return Ok(()),
            Err(error) if matches!(failure::code_of(&error), Some(400..500)) => {
                return Err(Failure::server(format!("watch {}", resource.plural))(error));
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The version of an object, or of the last row of a table.
fn seen(object: &Value) -> Option<String> {
    let rows = object.get("rows").and_then(Value::as_array);
    let row = rows
        .and_then(|rows| rows.last())
        .and_then(|row| row.pointer("/object/metadata/resourceVersion"));
    let version = row.or_else(|| object.pointer("/metadata/resourceVersion"));
    version
        .and_then(Value::as_str)
        .filter(|version| !version.is_empty())
        .map(str::to_owned)
}

fn show_rows(
    session: &Session,
    resource: &Resource,
    query: &Query,
    columns: &Columns,
    table: &mut Option<Table>,
    rows: &[Value],
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let first = table.is_none() && query.headers;
    let table = table.get_or_insert_with(|| columns.table(query));
    for row in rows {
        table.push(columns.row(row, query, resource, None));
    }
    printer::out(&if first {
        table.render(session.terminal)
    } else {
        table.render_rows(session.terminal)
    })
}

fn show_object(object: Value, resource: &Resource, query: &Query) -> Result<(), Failure> {
    match query.output {
        Output::Name => {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            printer::line(&format!("{}/{name}", resource.display()))
        }
        Output::Yaml => printer::out(&format!("---\n{}", object::render(object, Form::Yaml)?)),
        _ => printer::out(&object::render(object, Form::Json)?),
    }
}
