//! What stories begin with: an app, its owner in front of it, and devices that sync meanwhile.

use reqwest::{Client, StatusCode};
use syncline::tables::spec::WireProfile;

use super::{Screen, screen_of_the_owner};
use crate::support::{
    app::{TestApp, TestSyncApp},
    device::{
        Device,
        schema::{Profile, Row, RowId, Value},
        transport::Transport,
    },
    sync_app::SyncClient,
};

/// The owner of the tenant `acme` has its app `notes` on the screen.
pub(super) struct Story {
    pub(super) app: TestApp,
    pub(super) notes: TestSyncApp,
    pub(super) screen: Screen,
}

impl Story {
    /// An app with the tables of `ddl`.
    pub(super) async fn of(ddl: &str) -> Self {
        let app = TestApp::start().await;
        let notes = app.create_app(WireProfile::Strings, ddl).await;
        let screen = screen_of_the_owner(&app).await;
        screen.visit("/d/acme/notes").await;
        Self { app, notes, screen }
    }

    /// A device that keeps its rows and does all that a client does. The app must have its tables.
    pub(super) async fn device(&self, user: &str, name: &str) -> Device {
        device(&self.notes, user, name).await
    }

    /// A device whose every request the story makes itself; connected.
    pub(super) async fn plain_device(&self, user: &str, name: &str) -> SyncClient {
        let device = SyncClient::of(&self.notes, &self.notes.token(user).await, name);
        device.connect(false).await.ok();
        device
    }

    /// What devices did until now is on every page from now on; without this it would be within seconds.
    pub(super) async fn facts_are_written(&self) {
        self.app.state().engine.write_device_facts().await;
    }

    /// Load the page anew.
    pub(super) async fn reload(&self) {
        self.screen.visit(&self.screen.path().await).await;
    }
}

/// A device that keeps its rows and does all that a client does.
pub(super) async fn device(app: &TestSyncApp, user: &str, name: &str) -> Device {
    Device::new(name, Profile::Strings, Transport::new(Client::new(), &app.base_url, app.token(user).await))
}

pub(super) fn folder(id: &str) -> RowId {
    RowId::new("folders", id)
}

/// The row of that folder.
pub(super) fn titled(id: &str, title: &str) -> Row {
    let text = |text: &str| Value::Text(text.to_owned());
    Row::from([("id", text(id)), ("title", text(title))])
}

/// A folder inserted or changed on the device, and synced.
pub(super) async fn writes(device: &mut Device, id: &str, title: &str) {
    assert!(device.put(folder(id), titled(id, title)));
    device.sync().await.unwrap();
}

/// What the folder is called on the device, if it is there.
pub(super) fn title_on(device: &Device, id: &str) -> Option<String> {
    match &device.rows().get(&folder(id))?["title"] {
        Value::Text(title) => Some(title.clone()),
        other => panic!("a title that is no text: {other:?}"),
    }
}

/// The stream of a device that is told of new bundles.
pub(super) async fn stream(device: &SyncClient) -> reqwest::Response {
    let answer = device.request(reqwest::Method::GET, "sync/watch").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer
}

/// Read the stream to its end, which must come.
pub(super) async fn ends(mut stream: reqwest::Response) {
    while let Ok(Some(_)) = stream.chunk().await {}
}
