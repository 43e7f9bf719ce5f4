// Runs inside Thunderbird: what a person would click, and what one would then see.
// Each of these is called by demo_account.py.

const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");

const SPECIAL = ["Inbox", "SentMail", "Drafts", "Archive", "Junk", "Trash"];

/// Account Settings → Add Mail Account → Configure manually, with the password remembered.
async function addAccount(type, port, address, password) {
  const server = MailServices.accounts.createIncomingServer(address, "localhost", type);
  server.port = port;
  server.socketType = Ci.nsMsgSocketType.plain;
  server.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
  server.prettyName = `${address} by ${type}`;
  server.doBiff = false;
  if (type == "pop3") {
    server.setBoolValue("leave_on_server", true);
  }
  const scheme = type == "pop3" ? "mailbox" : type;
  const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
  const origin = `${scheme}://localhost`;
  login.init(origin, null, origin, address, password, "", "");
  await Services.logins.addLoginAsync(login);
  const identity = MailServices.accounts.createIdentity();
  identity.email = address;
  identity.composeHtml = false;
  const account = MailServices.accounts.createAccount();
  account.addIdentity(identity);
  account.incomingServer = server;
  server.valid = true;
  return server.key;
}

function rootOf(key) {
  return MailServices.accounts.getIncomingServer(key).rootFolder;
}

function inboxOf(key) {
  return rootOf(key).getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
}

function folderAt(key, path) {
  const root = rootOf(key);
  return root.descendants.find(folder => pathOf(root, folder) == path);
}

function pathOf(root, folder) {
  const names = [];
  for (let at = folder; at && at != root; at = at.parent) {
    names.unshift(at.name);
  }
  return names.join("/");
}

/// Waits for a URL that `start` is given the listener of.
function finished(start) {
  return new Promise((resolve, reject) => {
    start({
      QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
      OnStartRunningUrl() {},
      OnStopRunningUrl(url, status) {
        if (Components.isSuccessCode(status)) {
          resolve();
        } else {
          reject(new Error(`${url?.spec} ended with 0x${status.toString(16)}`));
        }
      },
    });
  });
}

/// "Get Messages".
async function receive(key) {
  const inbox = inboxOf(key);
  await finished(listener => inbox.getNewMessages(null, listener));
}

/// A click on the account's triangle: LIST. Folders come in one by one.
function discover(key) {
  MailServices.accounts.getIncomingServer(key).performExpand(null);
}

/// A click on a folder.
async function openFolder(key, path) {
  const folder = folderAt(key, path).QueryInterface(Ci.nsIMsgImapMailFolder);
  await finished(listener => folder.updateFolderWithListener(null, listener));
}

/// The folder pane: path to the special use Thunderbird gives the folder, or null.
function folders(key) {
  const root = rootOf(key);
  const uses = folder => SPECIAL.find(name => folder.flags & Ci.nsMsgFolderFlags[name]) ?? null;
  return Object.fromEntries(root.descendants.map(folder => [pathOf(root, folder), uses(folder)]));
}

/// The thread pane of a folder.
function messages(key, path) {
  const { HasRe, Read, Marked, Replied } = Ci.nsMsgMessageFlags;
  return [...folderAt(key, path).messages].map(header => ({
    id: header.messageId,
    subject: (header.flags & HasRe ? "Re: " : "") + header.mime2DecodedSubject,
    date: header.dateInSeconds,
    read: Boolean(header.flags & Read),
    flagged: Boolean(header.flags & Marked),
    answered: Boolean(header.flags & Replied),
  }));
}

function headerOf(key, path, id) {
  return [...folderAt(key, path).messages].find(header => header.messageId == id);
}

/// View → Message Source, each octet as one character.
function source(key, path, id) {
  const header = headerOf(key, path, id);
  const uri = header.folder.getUriForMsg(header);
  return new Promise((resolve, reject) => {
    const stream = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
    let octets = "";
    const listener = {
      QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
      onStartRequest() {},
      onDataAvailable(request, input, offset, count) {
        stream.init(input);
        octets += stream.readBytes(count);
      },
      onStopRequest(request, status) {
        if (Components.isSuccessCode(status)) {
          resolve(octets);
        } else {
          reject(new Error(`${uri} ended with 0x${status.toString(16)}`));
        }
      },
    };
    MailServices.messageServiceFromURI(uri).streamMessage(uri, listener, null, null, false, "");
  });
}

/// The attachments bar below a message.
function attachments(key, path, id) {
  const { MsgHdrToMimeMessage } = ChromeUtils.importESModule("resource:///modules/gloda/MimeMessage.sys.mjs");
  const header = headerOf(key, path, id);
  return new Promise(resolve => {
    const told = (_, message) => resolve(message.allUserAttachments.map(part => part.name));
    MsgHdrToMimeMessage(header, null, told, true);
  });
}

/// The Delete key: with IMAP the message goes to Trash.
function remove(key, path, id) {
  const header = headerOf(key, path, id);
  return new Promise((resolve, reject) => {
    header.folder.deleteMessages([header], null, false, false, {
      QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
      onStartCopy() {},
      onProgress() {},
      setMessageKey() {},
      getMessageId: () => null,
      onStopCopy(status) {
        if (Components.isSuccessCode(status)) {
          resolve();
        } else {
          reject(new Error(`deleting ended with 0x${status.toString(16)}`));
        }
      },
    }, true);
  });
}

/// Account Settings → Outgoing Server → Add, for the account's identity.
async function addOutgoing(key, port, address, password) {
  const server = MailServices.outgoingServer.createServer("smtp");
  server.QueryInterface(Ci.nsISmtpServer).hostname = "localhost";
  server.QueryInterface(Ci.nsISmtpServer).port = port;
  server.socketType = Ci.nsMsgSocketType.plain;
  server.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
  server.username = address;
  server.password = password;
  MailServices.outgoingServer.defaultServer = server;
  identityOf(key).smtpServerKey = server.key;
}

function identityOf(key) {
  const server = MailServices.accounts.getIncomingServer(key);
  return MailServices.accounts.findAccountForServer(server).defaultIdentity;
}

/// Write, Send; a copy goes to the folder at `copy`.
async function send(key, to, subject, text, copy) {
  const identity = identityOf(key);
  const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
  fields.from = identity.email;
  fields.to = to;
  fields.subject = subject;
  fields.fcc = folderAt(key, copy).URI;
  const account = MailServices.accounts.findAccountForServer(MailServices.accounts.getIncomingServer(key));
  const message = Cc["@mozilla.org/messengercompose/send;1"].createInstance(Ci.nsIMsgSend);
  await new Promise((resolve, reject) => {
    const listener = {
      QueryInterface: ChromeUtils.generateQI(["nsIMsgSendListener", "nsIMsgCopyServiceListener"]),
      onStartSending() {},
      onSendProgress() {},
      onStatus() {},
      onGetDraftFolderURI() {},
      onSendNotPerformed: () => reject(new Error("not sent")),
      onTransportSecurityError() {},
      onStopSending(id, status) {
        if (!Components.isSuccessCode(status)) {
          reject(new Error(`sending ended with 0x${status.toString(16)}`));
        }
      },
      onStartCopy() {},
      onProgress() {},
      setMessageKey() {},
      getMessageId: () => null,
      onStopCopy(status) {
        if (Components.isSuccessCode(status)) {
          resolve();
        } else {
          reject(new Error(`the copy ended with 0x${status.toString(16)}`));
        }
      },
    };
    message
      .createAndSendMessage(
        null, identity, account.key, fields, false, false, Ci.nsIMsgSend.nsMsgDeliverNow,
        null, "text/plain", text, null, null, listener, null, null, Ci.nsIMsgCompType.New
      )
      .catch(reject);
  });
}
