// Made by `npm run api-types`.

export interface paths {
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** To a browser (`Accept: text/html`) the web page, to anyone else that the server is running */
        get: operations["getPage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/test": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Says that the server is running */
        get: operations["getGreeting"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Says that the process lives */
        get: operations["getLiveness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Says that the database answers and that jobs are done */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What is measured, as Prometheus reads it
         * @description For requests from this machine to its loopback address, by a loopback name and without a proxy's headers, and for those with `METRICS_TOKEN` as Bearer token; without such a token there is nothing here for others.
         */
        get: operations["getMetrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/chat": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Chats with the guided bot by phone number, with a bot as a guest, or as a user with the AI SDK's `useChat`
         * @description A body with `token` or `content`, and without `user_phone` and `user_message`, is a guest's message. A body with `id` and with `messages` or `message`, and with none of those four, comes from `useChat`. It needs a login, may have 4 MiB, and is answered with a UI message stream, version 1; an error is its sentence as plain text. Any other body is for the guided chat. The guided chat has no login: typing a phone number proves nothing, and the bot tells the name it knows to anybody who types that number.
         */
        post: operations["chat"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/chat/initial": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Starts a guest chat: answers with a token and the bot's greeting */
        get: operations["beginGuestChat"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/chat/whatsapp": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Verifies the webhook for Meta: answers with the challenge as plain text */
        get: operations["verifyWhatsAppWebhook"];
        put?: never;
        /**
         * Receives WhatsApp's webhooks; answers `OK` as soon as they are stored
         * @description The body is Meta's webhook of up to 4 MiB, signed over its bytes in `X-Hub-Signature-256`.
         */
        post: operations["receiveWhatsAppWebhook"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Chats with the guided bot by phone number, with a bot as a guest, or as a user with the AI SDK's `useChat`
         * @description A body with `token` or `content`, and without `user_phone` and `user_message`, is a guest's message. A body with `id` and with `messages` or `message`, and with none of those four, comes from `useChat`. It needs a login, may have 4 MiB, and is answered with a UI message stream, version 1; an error is its sentence as plain text. Any other body is for the guided chat. The guided chat has no login: typing a phone number proves nothing, and the bot tells the name it knows to anybody who types that number.
         */
        post: operations["chatUnderApi"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/initial": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Starts a guest chat: answers with a token and the bot's greeting */
        get: operations["beginGuestChatUnderApi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/whatsapp": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Verifies the webhook for Meta: answers with the challenge as plain text */
        get: operations["verifyWhatsAppWebhookUnderApi"];
        put?: never;
        /**
         * Receives WhatsApp's webhooks; answers `OK` as soon as they are stored
         * @description The body is Meta's webhook of up to 4 MiB, signed over its bytes in `X-Hub-Signature-256`.
         */
        post: operations["receiveWhatsAppWebhookUnderApi"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/models": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The bots as models */
        get: operations["listModels"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/models/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One bot as a model */
        get: operations["getModel"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/chat/completions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Replies to a history */
        post: operations["createCompletion"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/register": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Creates an account with an id and a passcode */
        post: operations["register"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/login": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Begins a session of 24 hours and answers with its token */
        post: operations["logInForToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/signup": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Creates an account
         * @description With a guest's token it upgrades that guest, who keeps their conversations; the token ends.
         */
        post: operations["signUp"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/settings": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The settings that a page needs before anybody is logged in */
        get: operations["getSettings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/login": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Begins a session and sets its cookie */
        post: operations["logIn"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/logout": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Ends the session, if there is one */
        get: operations["logOutByGet"];
        put?: never;
        /** Ends the session, if there is one */
        post: operations["logOut"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/oidc/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Sends a browser to the OpenID Connect provider
         * @description An error comes back to the page as `#sign-in-failed=CODE`.
         */
        get: operations["startOidc"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/oidc/callback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where the provider sends the browser back to; sets the session cookie */
        get: operations["finishOidc"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/password/forgot": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sends a link to choose a new password, if an account has verified this address */
        post: operations["forgotPassword"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/password/reset": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sets a new password and ends all sessions */
        post: operations["resetPassword"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/email/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Confirms the e-mail address of an account */
        post: operations["verifyEmail"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/email/resend": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sends the link that confirms the e-mail address again, at most five times an hour */
        post: operations["resendVerification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/{external_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One of your users */
        get: operations["getExternalUser"];
        /**
         * Creates one of your users, or changes them
         * @description What you leave out stays as it is. The e-mail address counts as verified, unless another account has verified it.
         */
        put: operations["putExternalUser"];
        post?: never;
        /** Deletes one of your users, their conversations and messages */
        delete: operations["deleteExternalUser"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/users/{external_id}/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Creates a token for one of your users
         * @description Your server knows who is logged in, and gives the token to their browser. It works like the token of a login, and ends with the key.
         */
        post: operations["mintToken"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/messages": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The newest messages, those before one of them, or all that changed after a rev */
        get: operations["listMessages"];
        put?: never;
        /**
         * Sends a message; answers with it and with the bots' replies
         * @description Answers when the replies have ended, or with `Accept: text/event-stream` with events as they grow; closing the connection does not stop them. Send an `Idempotency-Key`, above all with a stream: libraries repeat a request whose connection breaks, and with the same key it is stored once. A text has at most 8,000 characters, or up to 100,000 where all bots that it addresses take as much, as language models do. A server writes with `as`; no bot replies, and the answer has this one message.
         */
        post: operations["sendMessage"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists your conversations, last used first, each with its newest messages */
        get: operations["listConversations"];
        put?: never;
        /**
         * Begins a conversation
         * @description `client_id` is your own id for it. Where you have a conversation with this id already, nothing is stored, and the answer is that conversation, with status 200.
         */
        post: operations["createConversation"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One conversation with its newest messages */
        get: operations["getConversation"];
        /**
         * Renames a conversation
         * @description `metadata` replaces the object that was there; left out, that stays.
         */
        put: operations["renameConversation"];
        post?: never;
        /** Deletes a conversation and all its messages */
        delete: operations["deleteConversation"];
        options?: never;
        head?: never;
        /**
         * Renames a conversation, says what becomes of a message that comes while a bot still answers, or replaces its metadata
         * @description `when_busy`: `queue`, it is answered after; `interrupt`, the reply is stopped and both are answered; `reject`, it is refused.
         */
        patch: operations["updateConversation"];
        trace?: never;
    };
    "/api/conversations/{id}/messages/{message}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One message */
        get: operations["getMessage"];
        /**
         * Changes the text of your own message
         * @description A bot that takes its time and has answered it last answers again.
         */
        put: operations["editMessage"];
        post?: never;
        /** Deletes your own message, or any message of your own conversation */
        delete: operations["deleteMessage"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * A conversation as it happens, as server-sent events
         * @description Each `message` event is a whole message, new or changed, its id the message's `rev`; a `delta` `{id, part, type, offset, text}` is what a part of a reply grows by; `part` is left out for 0, `type` for a text. With `Last-Event-ID`, or `after`, all that changed after that rev comes first; without, the stream begins with what happens from now on. A connection may break before the first event: give `after`, or read the messages each time that the stream opens.
         */
        get: operations["streamEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Stops the replies that are under way; what was said stays */
        post: operations["stopReplies"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/messages/{message}/regenerate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Asks again for the last reply of a bot that takes its time, in the same place
         * @description Answers when the reply has ended, or with `Accept: text/event-stream` with events as it grows.
         */
        post: operations["regenerateReply"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Your news, as server-sent events
         * @description `conversation`, `gone`, and `ready` when what you missed was sent. Event ids are cursors.
         */
        get: operations["streamNews"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/read": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Says up to which rev you have read */
        put: operations["markRead"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/ag-ui/threads/{id}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stops the replies of a thread that are under way; what was said stays
         * @description AG-UI's own `abortRun` only closes the connection, which does not stop a reply.
         */
        post: operations["stopThread"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/ag-ui": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sends the last message of an AG-UI run, and streams the replies
         * @description A `threadId` that is new begins a conversation. Without a user's message at the end, the run loads the thread and follows what is under way.
         */
        post: operations["runAgent"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/ag-ui/{bot}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * The same for one bot
         * @description It is the bot of a new conversation. In an existing one it must be a member, and only it replies.
         */
        post: operations["runBot"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/chat/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The messages of a chat as the AI SDK has them, oldest first
         * @description The newest ones, or those before one of them. A chat that has not begun yet has none.
         */
        get: operations["listUiMessages"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/chat/{id}/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The reply that is under way, from its beginning, for the AI SDK's `resumeStream`
         * @description 204 where none is under way.
         */
        get: operations["resumeUiStream"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/chat/{id}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stops the replies of a chat that are under way; what was said stays
         * @description The AI SDK's own `stop` only closes the connection, which does not stop a reply.
         */
        post: operations["stopUiChat"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The messages of a chat as the AI SDK has them, oldest first
         * @description The newest ones, or those before one of them. A chat that has not begun yet has none.
         */
        get: operations["listUiMessagesUnderApi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/{id}/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The reply that is under way, from its beginning, for the AI SDK's `resumeStream`
         * @description 204 where none is under way.
         */
        get: operations["resumeUiStreamUnderApi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/{id}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stops the replies of a chat that are under way; what was said stays
         * @description The AI SDK's own `stop` only closes the connection, which does not stop a reply.
         */
        post: operations["stopUiChatUnderApi"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The account that is logged in */
        get: operations["getMe"];
        put?: never;
        post?: never;
        /**
         * Deletes your account with its conversations and messages
         * @description A conversation with others is handed over to the member who joined first; your messages in it stay, without an author. Guests, and users of another issuer, need no password and no body.
         */
        delete: operations["deleteMe"];
        options?: never;
        head?: never;
        /**
         * Changes your account
         * @description A new e-mail address, username or password needs `current_password`. A new password ends all sessions; with a cookie you get a new one.
         */
        patch: operations["updateMe"];
        trace?: never;
    };
    "/api/me/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the sessions of this account, newest first */
        get: operations["listSessions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/me/sessions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Ends a session of this account, which signs out that device */
        delete: operations["endSession"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/me/keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists your personal keys, newest first */
        get: operations["listMyKeys"];
        put?: never;
        /**
         * Creates a personal key for your scripts
         * @description It works as `Authorization: Bearer` wherever you may do something, except for creating keys.
         */
        post: operations["createMyKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/me/keys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revokes a personal key */
        delete: operations["revokeMyKey"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/me/usage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What the replies to this account cost in tokens, by day (UTC) and bot, newest first
         * @description Every attempt counts, however it ended. What became of the messages later changes nothing.
         */
        get: operations["getMyUsage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/me/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Exports everything that is stored about this account
         * @description Profile, sessions, conversations and messages as one JSON document. A conversation with others has only your own messages.
         */
        get: operations["exportMyData"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The users of a conversation */
        get: operations["listMembers"];
        put?: never;
        /** Lets a user into your own conversation, who then reads all of it */
        post: operations["addMember"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/users/{user}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Leaves a conversation, or takes a user out of your own
         * @description An owner who leaves hands the conversation to its oldest member.
         */
        delete: operations["removeMember"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/bots": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The bots of a conversation */
        get: operations["listConversationBots"];
        put?: never;
        /**
         * Adds a bot to your own conversation
         * @description The only bot of a conversation answers everything; of several those that are named as `@name`, in the order named.
         */
        post: operations["addConversationBot"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/conversations/{id}/bots/{bot}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Takes a bot out of your own conversation, with all that it remembered of it */
        delete: operations["removeConversationBot"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/bots": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The bots that may be added to a conversation
         * @description Bots that are not ready, such as a language model without an API key, are shown to admins only.
         */
        get: operations["listBots"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Lists and finds users, newest first
         * @description With `q`, a page may be short or empty although more follow: continue while there is a `Link`.
         */
        get: operations["listUsers"];
        put?: never;
        /** Creates an account for somebody, regardless of `SIGNUP` */
        post: operations["createUser"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/users/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One user */
        get: operations["getUser"];
        put?: never;
        post?: never;
        /**
         * Deletes a user, their conversations and messages
         * @description A conversation with others is handed over to the member who joined first; the user's messages in it stay, without an author.
         */
        delete: operations["deleteUser"];
        options?: never;
        head?: never;
        /**
         * Locks or unlocks a user, or sets their token budget
         * @description Locking ends all sessions at once and stops the replies that are being written for them. A locked user cannot log in.
         */
        patch: operations["updateUser"];
        trace?: never;
    };
    "/api/admin/users/{id}/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Ends all sessions of a user */
        delete: operations["endUserSessions"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/invitations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The invitations, newest first */
        get: operations["listInvitations"];
        put?: never;
        /** Creates an invitation: a link with which one person can sign up */
        post: operations["createInvitation"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/invitations/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revokes an invitation */
        delete: operations["revokeInvitation"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/log": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists what admins did, newest first. Entries cannot be changed */
        get: operations["listAdminLog"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the server keys, newest first */
        get: operations["listKeys"];
        put?: never;
        /** Creates a key with which a server manages users and acts for them */
        post: operations["createKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/keys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revokes a server key, and ends the sessions that were begun with it */
        delete: operations["revokeKey"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/usage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What all replies cost in tokens, by day (UTC), user, bot and model, newest first, for admins
         * @description `replies` counts attempts, `estimated` those of them whose tokens are an estimate because the provider named none. The costs of a deleted account stay, without a user.
         */
        get: operations["getUsage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/bots": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The bots with their settings, for admins */
        get: operations["listBotSettings"];
        put?: never;
        /** Makes a bot, for admins */
        post: operations["createBot"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/bots/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Deletes a bot, for admins
         * @description It leaves all conversations. What it said stays, without a name.
         */
        delete: operations["deleteBot"];
        options?: never;
        head?: never;
        /**
         * Changes the name or all settings of a bot, for admins
         * @description Secrets among the settings are never shown, and stay as they are when they are left out.
         */
        patch: operations["updateBot"];
        trace?: never;
    };
    "/api/admin/deliveries": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the messages to WhatsApp and what became of them, newest first */
        get: operations["listDeliveries"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/deliveries/{id}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Sends a delivery again that failed, or that came when the 24-hour window was closed */
        post: operations["retryDelivery"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/admin/whatsapp/templates/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sends a template that Meta has approved to a contact on WhatsApp
         * @description Answers with the delivery. It is sent by a job, as replies are: `GET /api/admin/deliveries` shows what has become of it.
         */
        post: operations["sendWhatsAppTemplate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        MessageOnly: {
            message: string;
        };
        Error: {
            statusCode: number;
            /** @description The name of the error, which never changes */
            code: string;
            /** @description A sentence that a person can read */
            error: string;
            details?: {
                path: string;
                message: string;
            }[];
        };
        Status: {
            status: string;
        };
        Ready: {
            status: string;
            /** @description What is in trouble outside of this server, as WhatsApp's account */
            details?: {
                [key: string]: string;
            };
        };
        ClientId: string;
        Metadata: {
            [key: string]: unknown;
        };
        SentUiMessage: {
            id?: components["schemas"]["ClientId"];
            /** @enum {unknown} */
            role?: "user" | "assistant" | "system";
            parts: {
                [key: string]: unknown;
            }[];
            metadata?: components["schemas"]["Metadata"];
        };
        UiChat: {
            id: components["schemas"]["ClientId"];
            messages?: {
                [key: string]: unknown;
            }[];
            message?: components["schemas"]["SentUiMessage"];
            /** @enum {unknown} */
            trigger?: "submit-message" | "regenerate-message";
            messageId?: components["schemas"]["ClientId"];
        };
        GuestMessage: {
            content: string;
            token?: string;
            client_id?: components["schemas"]["ClientId"];
        };
        PhoneQuestion: {
            user_phone: string | number;
            user_message: string | number;
            client_id?: components["schemas"]["ClientId"];
        };
        ChatBody: Record<string, never>;
        PhoneAnswer: {
            user_phone: string;
            bot_message: string;
        };
        GuestAnswer: {
            text: string;
        };
        PhoneError: {
            statusCode: number;
            /** @description The name of the error, which never changes */
            code: string;
            /** @description A sentence that a person can read */
            error: string;
            details?: {
                path: string;
                message: string;
            }[];
            user_phone?: string;
            bot_message?: string;
        };
        GuestToken: {
            token: string;
            text: string;
        };
        Model: {
            id: string;
            /** @enum {unknown} */
            object: "model";
            created: number;
            owned_by: string;
        };
        Models: {
            /** @enum {unknown} */
            object: "list";
            data: components["schemas"]["Model"][];
        };
        V1Error: {
            statusCode: number;
            code: string;
            error: {
                message: string;
                type: string;
                param: string | null;
                code: string;
            };
            details?: unknown[];
        };
        NewCompletion: {
            model: string;
            messages: Record<string, never>[];
            stream?: boolean | null;
            stream_options?: Record<string, never> | null;
            n?: number | null;
            tools?: Record<string, never>[] | null;
        };
        Completion: {
            choices?: unknown[];
        } & {
            [key: string]: unknown;
        };
        NewPasscode: {
            id: string | number;
            passcode: string;
            /** @description The part of an invitation's link after `=`, if SIGNUP is `invite` */
            invitation?: string;
        };
        PasscodeMessage: {
            msg: string;
        };
        PasscodeError: {
            statusCode: number;
            /** @description The name of the error, which never changes */
            code: string;
            /** @description A sentence that a person can read */
            error: string;
            details?: {
                path: string;
                message: string;
            }[];
            msg: string;
        };
        Passcode: {
            id: string | number;
            passcode: string;
        };
        AccessToken: {
            access_token: string;
        };
        NewAccount: {
            username: string;
            password: string;
            name?: string;
            email?: string;
            /** @description The part of an invitation's link after `=`, if SIGNUP is `invite` */
            invitation?: string;
        };
        Id: number;
        User: {
            id: components["schemas"]["Id"];
            username: string;
        };
        Welcome: {
            message: string;
            user: components["schemas"]["User"];
        };
        /** @description The provider of `/api/oidc/start` */
        Oidc: {
            name: string;
        } | null;
        Settings: {
            /**
             * @description Who may sign up: everybody, nobody, or those with an invitation
             * @enum {unknown}
             */
            signup: "open" | "closed" | "invite";
            /** @description Whether there are any */
            passwords: boolean;
            oidc: components["schemas"]["Oidc"];
        };
        Credentials: {
            username: string;
            password: string;
        };
        ForgotPasswordBody: {
            email: string;
        };
        ResetPasswordBody: {
            /** @description The part of the link in the mail after `=` */
            token: string;
            password: string;
        };
        VerifyEmailBody: {
            /** @description The part of the link in the mail after `=` */
            token: string;
        };
        ExternalUser: {
            external_id: string;
            id: components["schemas"]["Id"];
            name: string | null;
            /** @description Null also if another account has verified the address */
            email: string | null;
            picture: string | null;
            metadata: components["schemas"]["Metadata"];
            is_locked: boolean;
            /** Format: date-time */
            created_at: string;
        };
        ExternalUserChanges: {
            name?: string;
            email?: string;
            picture?: string;
            metadata?: components["schemas"]["Metadata"];
        };
        NewToken: {
            /**
             * @description Lifetime in seconds
             * @default 3600
             */
            expires_in: number;
        };
        MintedToken: {
            /** @description For `Authorization: Bearer`, sockets and event streams */
            token: string;
            /** Format: date-time */
            expires_at: string;
        };
        NewPart: {
            /** @enum {unknown} */
            type: "text";
            text: string;
        } | {
            /** @enum {unknown} */
            type: "choice";
            id: string;
            title: string;
        } | {
            /** @enum {unknown} */
            type: "data";
            name: string;
            data: unknown;
        };
        /** @description Only for a server key with the scope `act`, without `X-Act-As`: the bot of the conversation, or the human agent, in whose name it is said */
        Speaker: {
            bot?: string;
            agent?: string;
        };
        /** @description It needs `text` or `parts` */
        NewMessage: {
            text?: string;
            /** @description What the message is made of. Without `text`, the server writes the text */
            parts?: components["schemas"]["NewPart"][];
            client_id?: components["schemas"]["ClientId"];
            metadata?: components["schemas"]["Metadata"];
            as?: components["schemas"]["Speaker"];
        };
        Rev: number;
        Choice: {
            id: string;
            title: string;
        };
        Part: {
            /** @enum {unknown} */
            type: "text" | "reasoning" | "source" | "choices" | "choice" | "data";
            /** @description Of `text` and `reasoning` */
            text?: string;
            /** @description Of `source` */
            url?: string;
            /** @description Of `choice`: which of the choices */
            id?: string;
            /** @description Of `choices`: answers to choose from */
            choices?: components["schemas"]["Choice"][];
            /** @description Of `data` */
            name?: string;
            /** @description Of `data`: any JSON */
            data?: unknown;
            /** @description Of `source` and `choice` */
            title?: string;
        };
        /**
         * @description Why a reply failed. Apart from `failed` messages, only those have it that a content filter refused later: `MESSAGE_REFUSED`. `BOT_UNREACHABLE`: The bot's provider did not answer, or answered with a server error. `BOT_OVERLOADED`: The bot's provider refused for now because it is overloaded, or it failed several times in a row. `BOT_REFUSED`: The bot's provider refused the request. `BOT_SILENT`: The bot's provider took too long. `BOT_BROKE_OFF`: The reply broke off before it was complete. `BOT_NONSENSE`: The bot's provider sent no text, or nothing that can be read. `BOT_NOT_CONFIGURED`: The bot is not set up. `BOT_CONTEXT_FULL`: The message alone is too long for the bot's model. `MESSAGE_REFUSED`: The provider's content filter refused the message. Later replies are written without it.
         * @enum {unknown}
         */
        Failure: "BOT_UNREACHABLE" | "BOT_OVERLOADED" | "BOT_REFUSED" | "BOT_SILENT" | "BOT_BROKE_OFF" | "BOT_NONSENSE" | "BOT_NOT_CONFIGURED" | "BOT_CONTEXT_FULL" | "MESSAGE_REFUSED";
        /** @description `id` is its place in the conversation; `rev` is the conversation's count of changes at its last change */
        Message: {
            id: components["schemas"]["Id"];
            rev: components["schemas"]["Rev"];
            /** @enum {unknown} */
            sender: "user" | "bot";
            /** @description Whose it is, by username or, without one, by name; or the name of the bot, or of the agent as whom a server wrote */
            username: string | null;
            text: string;
            /** @enum {unknown} */
            status: "complete" | "queued" | "streaming" | "stopped" | "interrupted" | "failed" | "deleted";
            /** Format: date-time */
            created_at: string;
            /** @description What the message is made of, where it is more than one text. `text` says it in plain words */
            parts?: components["schemas"]["Part"][];
            metadata?: components["schemas"]["Metadata"];
            failure?: components["schemas"]["Failure"];
        };
        Conversation: {
            id: components["schemas"]["Id"];
            name: string;
            is_finished: boolean;
            /** Format: date-time */
            last_updated: string;
            client_id?: string;
            metadata?: components["schemas"]["Metadata"];
            unread: number;
            messages: components["schemas"]["Message"][];
        };
        NewConversation: {
            name: string;
            /** @description Names of the bots that take part; left out: the default one */
            bots?: string[];
            client_id?: components["schemas"]["ClientId"];
            metadata?: components["schemas"]["Metadata"];
        };
        ConversationTitle: {
            id: components["schemas"]["Id"];
            name: string;
            client_id?: string;
            metadata?: components["schemas"]["Metadata"];
        };
        ConversationName: {
            name: string;
            metadata?: components["schemas"]["Metadata"];
        };
        ConversationChanges: {
            name?: string;
            /** @enum {unknown} */
            when_busy?: "queue" | "interrupt" | "reject";
            metadata?: components["schemas"]["Metadata"];
        };
        ConversationSettings: {
            id: components["schemas"]["Id"];
            name: string;
            /** @enum {unknown} */
            when_busy: "queue" | "interrupt" | "reject";
            client_id?: string;
            metadata?: components["schemas"]["Metadata"];
        };
        EditedMessage: {
            text: string;
        };
        Read: {
            rev: components["schemas"]["Rev"];
        };
        RunAgentInput: {
            threadId: components["schemas"]["ClientId"];
            runId: components["schemas"]["ClientId"];
            messages: {
                [key: string]: unknown;
            }[];
        };
        BotHandle: string;
        UiPart: {
            /** @description `text`, `reasoning`, `source-url`, or `data-` and a name */
            type: string;
            text?: string;
            sourceId?: string;
            url?: string;
            data?: unknown;
            title?: string;
        };
        UiMessageMetadata: {
            id: components["schemas"]["Id"];
            rev: components["schemas"]["Rev"];
            /** @description Whose it is, by username or, without one, by name; or the name of the bot, or of the agent as whom a server wrote */
            username: string | null;
            /** Format: date-time */
            created_at: string;
            /** @enum {unknown} */
            status: "complete" | "queued" | "streaming" | "stopped" | "interrupted" | "failed" | "deleted";
            failure?: components["schemas"]["Failure"];
        } & {
            [key: string]: unknown;
        };
        UiMessage: {
            id: string;
            /** @enum {unknown} */
            role: "user" | "assistant";
            parts: components["schemas"]["UiPart"][];
            metadata: components["schemas"]["UiMessageMetadata"];
        };
        Password: {
            password: string;
        };
        Profile: {
            id: components["schemas"]["Id"];
            username: string | null;
            name: string | null;
            /** @description The address of an image */
            picture: string | null;
            /** @description Who vouches for the user, where that is another issuer of tokens; empty for a user of a server key */
            issuer: string | null;
            /** @description The user’s id there: the `sub` of the tokens, or the id that a server key gave */
            external_id: string | null;
            email: string | null;
            is_email_verified: boolean;
            phone_number: string | null;
            metadata: components["schemas"]["Metadata"];
            is_guest: boolean;
            /** @enum {unknown} */
            role: "user" | "admin";
            /** Format: date-time */
            created_at: string;
        };
        ProfileChanges: {
            name?: string | null;
            phone_number?: string | null;
            email?: string | null;
            username?: string;
            password?: string;
            current_password?: string;
        };
        Session: {
            id: components["schemas"]["Id"];
            /**
             * @description `issuer`: by tokens of another issuer; `server_key`: a server acts for the user; `personal_key`: a key for scripts
             * @enum {unknown}
             */
            kind: "cookie" | "access_token" | "guest" | "issuer" | "server_key" | "personal_key";
            /** @description The User-Agent header of the login; for `server_key` and `personal_key`, the name of the key */
            user_agent: string | null;
            ip: string | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            last_used_at: string;
            /** Format: date-time */
            expires_at: string;
            /** @description Whether it is the session of this request */
            is_current: boolean;
        };
        PersonalKey: {
            id: components["schemas"]["Id"];
            name: string | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            last_used_at: string;
            /** Format: date-time */
            expires_at: string;
        };
        NewPersonalKey: {
            name: string;
            /**
             * Format: date-time
             * @description When the key expires. Left out: after a year
             */
            expires_at?: string;
        };
        MadePersonalKey: {
            id: components["schemas"]["Id"];
            name: string | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            last_used_at: string;
            /** Format: date-time */
            expires_at: string;
            /** @description For `Authorization: Bearer`. It is shown only here */
            key: string;
        };
        DayOfMyUsage: {
            /** Format: date */
            day: string;
            bot: string | null;
            replies: number;
            prompt_tokens: number;
            completion_tokens: number;
        };
        Export: {
            [key: string]: unknown;
        };
        Member: {
            id: components["schemas"]["Id"];
            /** @description The username or, without one, the name */
            username: string | null;
            is_owner: boolean;
            /** Format: date-time */
            joined_at: string;
            read_rev: components["schemas"]["Rev"];
        };
        UserName: {
            username: string;
        };
        BotTitle: {
            id: components["schemas"]["Id"];
            name: string;
            /** @description What the bot is for, where an admin has said so */
            description: string | null;
            /** @description Whether its replies take time: they stream, can be stopped and can be asked for again */
            streaming: boolean;
            /** @description Whether it is in a conversation that is begun without naming bots */
            is_default: boolean;
            /** @description Whether it can reply; a language model without an API key cannot */
            is_ready: boolean;
        };
        BotName: {
            name: string;
        };
        AdminUser: {
            id: components["schemas"]["Id"];
            username: string | null;
            name: string | null;
            email: string | null;
            is_email_verified: boolean;
            phone_number: string | null;
            /** @enum {unknown} */
            origin: "web" | "api" | "phone" | "whatsapp";
            /** @enum {unknown} */
            role: "user" | "admin";
            is_guest: boolean;
            is_locked: boolean;
            /** Format: date-time */
            locked_at: string | null;
            /** @description Tokens a day (UTC) for this user; 0 for none, null for the default of the settings */
            budget: number | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            last_login_at: string | null;
        };
        NewUser: {
            username: string;
            password?: string;
            name?: string;
            email?: string;
        };
        MadeUser: {
            id: components["schemas"]["Id"];
            username: string;
            /** @description The generated password, if none was given. It is shown only here */
            password?: string;
        };
        OneUser: {
            id: components["schemas"]["Id"];
            username: string | null;
            name: string | null;
            email: string | null;
            is_email_verified: boolean;
            phone_number: string | null;
            /** @enum {unknown} */
            origin: "web" | "api" | "phone" | "whatsapp";
            /** @enum {unknown} */
            role: "user" | "admin";
            is_guest: boolean;
            is_locked: boolean;
            /** Format: date-time */
            locked_at: string | null;
            /** @description Tokens a day (UTC) for this user; 0 for none, null for the default of the settings */
            budget: number | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            last_login_at: string | null;
            /** @description Tokens that replies to this user have used today (UTC) */
            tokens_today: number;
        };
        UserChanges: {
            is_locked?: boolean;
            /** @description Tokens a day (UTC) for this user; 0 for none, null for the default of the settings */
            budget?: number | null;
        };
        Invitation: {
            id: components["schemas"]["Id"];
            /** @description The admin who made it */
            created_by: number | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            expires_at: string;
            /** Format: date-time */
            used_at: string | null;
            used_by: number | null;
        };
        NewInvitation: {
            /**
             * @description Seconds until it expires; 7 days by default
             * @default 604800
             */
            expires_in: number;
        };
        MadeInvitation: {
            id: components["schemas"]["Id"];
            /** @description A link to the page to sign up. It is shown only here */
            link: string;
            /** @description The `invitation` to sign up with. It is shown only here */
            token: string;
            /** Format: date-time */
            expires_at: string;
        };
        AdminLogEntry: {
            id: components["schemas"]["Id"];
            /** Format: date-time */
            created_at: string;
            /** @description 0 for a command on the server itself, an issuer of tokens or a server key. `admin_name` is the name of the issuer or key, and `details.key` the id of the key */
            admin_id: number;
            /** @description The admin’s username at that time */
            admin_name: string | null;
            action: string;
            /** @description The user who was affected */
            user_id: number | null;
            details: {
                [key: string]: unknown;
            };
        };
        /** @description `users`: manage users and mint tokens for them. `act`: act for a user with `X-Act-As`. `read`: read users, and act for one in `GET` requests. `guests`: let guests in, as `X-API-KEY`. `v1`: OpenAI's API */
        KeyScopes: ("users" | "act" | "read" | "guests" | "v1")[];
        Key: {
            id: components["schemas"]["Id"];
            name: string;
            scopes: components["schemas"]["KeyScopes"];
            /** @description The admin who made it */
            created_by: number | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            expires_at: string | null;
            /** Format: date-time */
            last_used_at: string | null;
            /** Format: date-time */
            revoked_at: string | null;
        };
        NewKey: {
            name: string;
            scopes: components["schemas"]["KeyScopes"];
            /**
             * Format: date-time
             * @description When the key expires. Left out: never
             */
            expires_at?: string;
        };
        MadeKey: {
            id: components["schemas"]["Id"];
            name: string;
            scopes: components["schemas"]["KeyScopes"];
            /** @description The admin who made it */
            created_by: number | null;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            expires_at: string | null;
            /** Format: date-time */
            last_used_at: string | null;
            /** Format: date-time */
            revoked_at: string | null;
            /** @description For `Authorization: Bearer`. It is shown only here */
            key: string;
        };
        DayOfUsage: {
            /** Format: date */
            day: string;
            user_id: number | null;
            username: string | null;
            bot: string | null;
            model: string | null;
            replies: number;
            estimated: number;
            prompt_tokens: number;
            completion_tokens: number;
        };
        Bot: {
            id: components["schemas"]["Id"];
            name: string;
            engine: string;
            settings: {
                [key: string]: unknown;
            };
        };
        /** @description What the bot says to a guest before anything is said */
        BotGreeting: string;
        /** @description What the bot is for, shown to users who choose a bot */
        BotDescription: string;
        NewBot: {
            name: components["schemas"]["BotHandle"];
            /** @enum {unknown} */
            engine: "simulated" | "guided" | "openai" | "webhook";
            settings: {
                [key: string]: unknown;
            };
        } & (unknown & unknown & unknown & unknown);
        BotChanges: {
            name?: components["schemas"]["BotHandle"];
            settings?: {
                [key: string]: unknown;
            };
        };
        Delivery: {
            id: components["schemas"]["Id"];
            conversation_id: components["schemas"]["Id"];
            message_id: components["schemas"]["Id"];
            /** @description Which part it is, from 0, of a message that was too long for one */
            part: number;
            /** @description WhatsApp's user id of the contact, or else the phone number */
            contact: string;
            whatsapp_id: string | null;
            /** @enum {unknown} */
            state: "queued" | "sent" | "delivered" | "read" | "failed" | "window_closed";
            /** @description Meta's code */
            error_code: number | null;
            error: string | null;
            attempts: number;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            updated_at: string;
            /**
             * Format: date-time
             * @description Set while this delivery waits because WhatsApp accepts no messages from our account: the time since when. `error_code` and `error` have the reason
             */
            held_since: string | null;
        };
        NewTemplate: {
            /** @description The contact: a phone number with its country code, as 16505551234, or WhatsApp's user id, as US.13491208655302741918 */
            to: string;
            /** @description The template's language, as en_US */
            language: string;
            /** @description Values for the variables of the body: a list in their order, or an object by name */
            variables?: string[] | {
                [key: string]: string;
            };
            /** @description What the conversation shows. Left out: the name of the template and the variables */
            text?: string;
            client_id?: components["schemas"]["ClientId"];
        };
    };
    responses: {
        /** @description INVALID_REQUEST: Invalid request */
        InvalidRequest: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 400,
                 *       "code": "INVALID_REQUEST",
                 *       "error": "Invalid request",
                 *       "details": [
                 *         {
                 *           "path": "text",
                 *           "message": "is missing"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description TOO_MANY_REQUESTS (429): Too many requests, please wait a little; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        TooManyRequests: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        MessageOnly: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "message": "Done"
                 *     }
                 */
                "application/json": components["schemas"]["MessageOnly"];
            };
        };
        /** @description Success */
        Plain: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /** @example OK */
                "text/plain": string;
            };
        };
        /** @description INVALID_TOKEN: Invalid token */
        InvalidToken: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 401,
                 *       "code": "INVALID_TOKEN",
                 *       "error": "Invalid token"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description NOT_FOUND: Not found */
        NotFound: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "NOT_FOUND",
                 *       "error": "Not found"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        PhoneAnswer: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "user_phone": "1111111111",
                 *       "bot_message": "What is your name?"
                 *     }
                 */
                "application/json": components["schemas"]["PhoneAnswer"] | components["schemas"]["GuestAnswer"];
                /** @example data: {"type":"text-delta","id":"t1","delta":"Hello"} */
                "text/event-stream": string;
            };
        };
        /** @description INVALID_REQUEST: Invalid request; EMPTY_INPUT: Phone number and message cannot be empty; INVALID_PHONE: the rule that was broken; MESSAGE_TOO_LONG: A message has at most 8,000 characters; MISSING_TOKEN: Missing token; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
        InvalidRequest2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 400,
                 *       "code": "INVALID_REQUEST",
                 *       "error": "Invalid request",
                 *       "user_phone": "1111111111",
                 *       "bot_message": "Invalid request",
                 *       "details": [
                 *         {
                 *           "path": "text",
                 *           "message": "is missing"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["PhoneError"];
                /** @example Invalid request */
                "text/plain": string;
            };
        };
        /** @description INVALID_TOKEN: Invalid token; UNAUTHORIZED: Please log in */
        InvalidToken2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 401,
                 *       "code": "INVALID_TOKEN",
                 *       "error": "Invalid token",
                 *       "user_phone": "1111111111",
                 *       "bot_message": "Invalid token"
                 *     }
                 */
                "application/json": components["schemas"]["PhoneError"];
                /** @example Invalid token */
                "text/plain": string;
            };
        };
        /** @description NOT_THE_AUTHOR: Only its author may change a message; NOT_THE_OWNER: Only the owner of the conversation may do this; ACCOUNT_LOCKED: This account is locked, please ask an administrator; CROSS_SITE: Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are */
        NotTheAuthor: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 403,
                 *       "code": "NOT_THE_AUTHOR",
                 *       "error": "Only its author may change a message",
                 *       "user_phone": "1111111111",
                 *       "bot_message": "Only its author may change a message"
                 *     }
                 */
                "application/json": components["schemas"]["PhoneError"];
                /** @example Only its author may change a message */
                "text/plain": string;
            };
        };
        /** @description BOT_NOT_FOUND: Bot not found; CONVERSATION_NOT_FOUND: Conversation not found; MESSAGE_NOT_FOUND: Message not found */
        BotNotFound: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "BOT_NOT_FOUND",
                 *       "error": "Bot not found",
                 *       "user_phone": "1111111111",
                 *       "bot_message": "Bot not found"
                 *     }
                 */
                "application/json": components["schemas"]["PhoneError"];
                /** @example Bot not found */
                "text/plain": string;
            };
        };
        /** @description IDEMPOTENCY_MISMATCH: This client id was used for another message; BOT_BUSY: The bot still answers, please wait; NOT_THE_LAST_REPLY: Only the last reply of a bot that takes its time can be asked for again */
        IdempotencyMismatch: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 409,
                 *       "code": "IDEMPOTENCY_MISMATCH",
                 *       "error": "This client id was used for another message",
                 *       "user_phone": "1111111111",
                 *       "bot_message": "This client id was used for another message"
                 *     }
                 */
                "application/json": components["schemas"]["PhoneError"];
                /** @example This client id was used for another message */
                "text/plain": string;
            };
        };
        /** @description BODY_TOO_LARGE (413): The body is larger than 4 MiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; TOO_MANY_REPLIES (429): Three replies to you are under way, please wait for one; TOO_MANY_STREAMS (429): Too many event streams are open, please close some; BUDGET_SPENT (429): The tokens for today are spent, please try again tomorrow; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; INTERNAL (500): Something went wrong on our side; BOT_FAILED (503): The bot cannot answer right now, please try again; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        BodyTooLarge: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["PhoneError"];
                "text/plain": string;
            };
        };
        /** @description Success */
        GuestToken: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "token": "eyJhbGciOiJIUzI1NiJ9.…",
                 *       "text": "Hello!"
                 *     }
                 */
                "application/json": components["schemas"]["GuestToken"];
            };
        };
        /** @description INVALID_REQUEST: Invalid request; MISSING_API_KEY: Missing API key */
        InvalidRequest3: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 400,
                 *       "code": "INVALID_REQUEST",
                 *       "error": "Invalid request",
                 *       "details": [
                 *         {
                 *           "path": "text",
                 *           "message": "is missing"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description INVALID_API_KEY: Invalid API key */
        InvalidApiKey: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 401,
                 *       "code": "INVALID_API_KEY",
                 *       "error": "Invalid API key"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description BOT_NOT_FOUND: Bot not found */
        BotNotFound2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "BOT_NOT_FOUND",
                 *       "error": "Bot not found"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description INVALID_REQUEST: Invalid request; WRONG_VERIFY_TOKEN: Invalid token */
        InvalidRequest4: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 400,
                 *       "code": "INVALID_REQUEST",
                 *       "error": "Invalid request",
                 *       "details": [
                 *         {
                 *           "path": "text",
                 *           "message": "is missing"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description INVALID_REQUEST: Invalid request; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
        InvalidRequest5: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 400,
                 *       "code": "INVALID_REQUEST",
                 *       "error": "Invalid request",
                 *       "details": [
                 *         {
                 *           "path": "text",
                 *           "message": "is missing"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description INVALID_SIGNATURE: Invalid signature */
        InvalidSignature: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 401,
                 *       "code": "INVALID_SIGNATURE",
                 *       "error": "Invalid signature"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description CROSS_SITE: Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are */
        CrossSite: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 403,
                 *       "code": "CROSS_SITE",
                 *       "error": "Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description BODY_TOO_LARGE (413): The body is larger than 4 MiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        BodyTooLarge2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        TooManyRequests2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["V1Error"];
            };
        };
        /** @description BODY_TOO_LARGE (413): The body is larger than 64 KiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        BodyTooLarge3: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["PasscodeError"];
            };
        };
        /** @description BODY_TOO_LARGE (413): The body is larger than 64 KiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        BodyTooLarge4: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description NOT_FOR_GUESTS: Please sign up first */
        NotForGuests: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 403,
                 *       "code": "NOT_FOR_GUESTS",
                 *       "error": "Please sign up first"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description BODY_TOO_LARGE (413): The body is larger than 64 KiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        BodyTooLarge5: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        ExternalUser: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "external_id": "text",
                 *       "id": 1,
                 *       "name": "Ann Example",
                 *       "email": "ann@example.com",
                 *       "picture": "https://example.com/ann.png",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       },
                 *       "is_locked": true,
                 *       "created_at": "2026-11-28T09:30:00.000Z"
                 *     }
                 */
                "application/json": components["schemas"]["ExternalUser"];
            };
        };
        /** @description UNAUTHORIZED: Please log in */
        Unauthorized: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 401,
                 *       "code": "UNAUTHORIZED",
                 *       "error": "Please log in"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description USER_NOT_FOUND: User not found */
        UserNotFound: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "USER_NOT_FOUND",
                 *       "error": "User not found"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description MISSING_SCOPE: This key may not do this; CROSS_SITE: Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are */
        MissingScope: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 403,
                 *       "code": "MISSING_SCOPE",
                 *       "error": "This key may not do this"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description LAST_ADMIN: This is the only admin who is not locked, please make another one first */
        LastAdmin: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 409,
                 *       "code": "LAST_ADMIN",
                 *       "error": "This is the only admin who is not locked, please make another one first"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        EventStream: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example event: delta
                 *     data: {"id":2,"offset":0,"text":"Hello"}
                 */
                "text/event-stream": string;
            };
        };
        /** @description CONVERSATION_NOT_FOUND: Conversation not found; BOT_NOT_FOUND: Bot not found */
        ConversationNotFound: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "CONVERSATION_NOT_FOUND",
                 *       "error": "Conversation not found"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description CONVERSATION_NOT_FOUND: Conversation not found */
        ConversationNotFound2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "CONVERSATION_NOT_FOUND",
                 *       "error": "Conversation not found"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        TooManyRequests3: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description INVALID_REQUEST: Invalid request; INVALID_CURSOR: This cursor is not one that the server gave out */
        InvalidRequest6: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 400,
                 *       "code": "INVALID_REQUEST",
                 *       "error": "Invalid request",
                 *       "details": [
                 *         {
                 *           "path": "text",
                 *           "message": "is missing"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        ConversationTitle: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "id": 1,
                 *       "name": "Plans",
                 *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["ConversationTitle"];
            };
        };
        /** @description Success */
        Message: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "id": 1,
                 *       "rev": 1,
                 *       "sender": "user",
                 *       "username": "ann",
                 *       "text": "Hello!",
                 *       "status": "complete",
                 *       "created_at": "2026-11-28T09:30:00.000Z",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["Message"];
            };
        };
        /** @description CONVERSATION_NOT_FOUND: Conversation not found; MESSAGE_NOT_FOUND: Message not found */
        ConversationNotFound3: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "CONVERSATION_NOT_FOUND",
                 *       "error": "Conversation not found"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description NOT_THE_AUTHOR: Only its author may change a message */
        NotTheAuthor2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 403,
                 *       "code": "NOT_THE_AUTHOR",
                 *       "error": "Only its author may change a message"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description BODY_TOO_LARGE (413): The body is larger than 1.5 MiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        BodyTooLarge6: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; TOO_MANY_STREAMS (429): Too many event streams are open, please close some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        TooManyRequests4: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        EventStream2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /** @example data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"m2","delta":"Hello"} */
                "text/event-stream": string;
            };
        };
        /** @description BOT_NOT_READY: This bot is not set up yet; BOT_BUSY: The bot still answers, please wait; NOT_THE_LAST_REPLY: Only the last reply of a bot that takes its time can be asked for again; IDEMPOTENCY_MISMATCH: This client id was used for another message */
        BotNotReady: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 409,
                 *       "code": "BOT_NOT_READY",
                 *       "error": "This bot is not set up yet"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description BODY_TOO_LARGE (413): The body is larger than 4 MiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REPLIES (429): Three replies to you are under way, please wait for one; BUDGET_SPENT (429): The tokens for today are spent, please try again tomorrow; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; TOO_MANY_STREAMS (429): Too many event streams are open, please close some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        BodyTooLarge7: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        UiMessage: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example [
                 *       {
                 *         "id": "text",
                 *         "role": "user",
                 *         "parts": [
                 *           {
                 *             "type": "text",
                 *             "text": "Hello!"
                 *           }
                 *         ],
                 *         "metadata": {
                 *           "id": 1,
                 *           "rev": 1,
                 *           "username": "ann",
                 *           "created_at": "2026-11-28T09:30:00.000Z",
                 *           "status": "complete"
                 *         }
                 *       }
                 *     ]
                 */
                "application/json": components["schemas"]["UiMessage"][];
            };
        };
        /** @description Success */
        EventStream3: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /** @example data: {"type":"text-delta","id":"t1","delta":"Hello"} */
                "text/event-stream": string;
            };
        };
        /** @description INVALID_REQUEST: Invalid request */
        InvalidRequest7: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /** @example Invalid request */
                "text/plain": string;
            };
        };
        /** @description UNAUTHORIZED: Please log in */
        Unauthorized2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /** @example Please log in */
                "text/plain": string;
            };
        };
        /** @description CONVERSATION_NOT_FOUND: Conversation not found */
        ConversationNotFound4: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /** @example Conversation not found */
                "text/plain": string;
            };
        };
        /** @description TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; TOO_MANY_STREAMS (429): Too many event streams are open, please close some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
        TooManyRequests5: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "text/plain": string;
            };
        };
        /** @description Success */
        Profile: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "id": 1,
                 *       "username": "ann",
                 *       "name": "Ann Example",
                 *       "picture": "https://example.com/ann.png",
                 *       "issuer": null,
                 *       "external_id": null,
                 *       "email": "ann@example.com",
                 *       "is_email_verified": false,
                 *       "phone_number": "+14155550123",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       },
                 *       "is_guest": false,
                 *       "role": "user",
                 *       "created_at": "2026-11-28T09:30:00.000Z"
                 *     }
                 */
                "application/json": components["schemas"]["Profile"];
            };
        };
        /** @description KEY_NOT_FOUND: Key not found */
        KeyNotFound: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "KEY_NOT_FOUND",
                 *       "error": "Key not found"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description NOT_FOR_GUESTS: Please sign up first; NOT_THE_OWNER: Only the owner of the conversation may do this */
        NotForGuests2: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 403,
                 *       "code": "NOT_FOR_GUESTS",
                 *       "error": "Please sign up first"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description CONVERSATION_NOT_FOUND: Conversation not found; USER_NOT_FOUND: User not found */
        ConversationNotFound5: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 404,
                 *       "code": "CONVERSATION_NOT_FOUND",
                 *       "error": "Conversation not found"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        BotTitle: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example [
                 *       {
                 *         "id": 1,
                 *         "name": "assistant",
                 *         "description": "Answers questions about orders",
                 *         "streaming": false,
                 *         "is_default": false,
                 *         "is_ready": false
                 *       }
                 *     ]
                 */
                "application/json": components["schemas"]["BotTitle"][];
            };
        };
        /** @description NOT_FOR_GUESTS: Please sign up first; NOT_AN_ADMIN: Only an admin may do this */
        NotForGuests3: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 403,
                 *       "code": "NOT_FOR_GUESTS",
                 *       "error": "Please sign up first"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
        /** @description Success */
        OneUser: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "id": 1,
                 *       "username": "ann",
                 *       "name": "Ann Example",
                 *       "email": "ann@example.com",
                 *       "is_email_verified": false,
                 *       "phone_number": "+14155550123",
                 *       "origin": "web",
                 *       "role": "user",
                 *       "is_guest": false,
                 *       "is_locked": true,
                 *       "locked_at": null,
                 *       "budget": null,
                 *       "created_at": "2026-11-28T09:30:00.000Z",
                 *       "last_login_at": null,
                 *       "tokens_today": 1
                 *     }
                 */
                "application/json": components["schemas"]["OneUser"];
            };
        };
        /** @description BOT_NAME_TAKEN: There is a bot of this name already */
        BotNameTaken: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "statusCode": 409,
                 *       "code": "BOT_NAME_TAKEN",
                 *       "error": "There is a bot of this name already"
                 *     }
                 */
                "application/json": components["schemas"]["Error"];
            };
        };
    };
    parameters: {
        "idempotency-key": components["schemas"]["ClientId"];
        "x-api-key": string;
        /** @description `subscribe`, or left out */
        "hub.mode": string;
        /** @description META_VERIFY_TOKEN */
        "hub.verify_token": string;
        "hub.challenge": string;
        /** @description `sha256=` and the HMAC-SHA256 of the body in hexadecimal */
        "x-hub-signature-256": string;
        external_id: string;
        id: components["schemas"]["Id"];
        limit: number;
        /** @description How many of the newest messages come along */
        messages: number;
        message: components["schemas"]["Id"];
        id2: components["schemas"]["ClientId"];
        limit2: number;
        before: components["schemas"]["Id"];
        /** @description The page before the key with this id */
        before2: components["schemas"]["Id"];
        /** @description The days before this one */
        before3: string;
        /** @description The page that begins after this id */
        after: components["schemas"]["Id"];
    };
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    getPage: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "message": "Done"
                     *     }
                     */
                    "application/json": components["schemas"]["MessageOnly"];
                    /** @example <!doctype html>… */
                    "text/html": string;
                };
            };
            400: components["responses"]["InvalidRequest"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    getGreeting: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["MessageOnly"];
            400: components["responses"]["InvalidRequest"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    getLiveness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok"
                     *     }
                     */
                    "application/json": components["schemas"]["Status"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok"
                     *     }
                     */
                    "application/json": components["schemas"]["Ready"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    getMetrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Plain"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["InvalidToken"];
            404: components["responses"]["NotFound"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    chat: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: components["parameters"]["idempotency-key"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "user_phone": "1111111111",
                 *       "user_message": "hello",
                 *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77"
                 *     }
                 */
                "application/json": components["schemas"]["ChatBody"];
            };
        };
        responses: {
            200: components["responses"]["PhoneAnswer"];
            400: components["responses"]["InvalidRequest2"];
            401: components["responses"]["InvalidToken2"];
            403: components["responses"]["NotTheAuthor"];
            404: components["responses"]["BotNotFound"];
            409: components["responses"]["IdempotencyMismatch"];
            default: components["responses"]["BodyTooLarge"];
        };
    };
    beginGuestChat: {
        parameters: {
            query?: never;
            header?: {
                "x-api-key"?: components["parameters"]["x-api-key"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["GuestToken"];
            400: components["responses"]["InvalidRequest3"];
            401: components["responses"]["InvalidApiKey"];
            404: components["responses"]["BotNotFound2"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    verifyWhatsAppWebhook: {
        parameters: {
            query?: {
                /** @description `subscribe`, or left out */
                "hub.mode"?: components["parameters"]["hub.mode"];
                /** @description META_VERIFY_TOKEN */
                "hub.verify_token"?: components["parameters"]["hub.verify_token"];
                "hub.challenge"?: components["parameters"]["hub.challenge"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Plain"];
            400: components["responses"]["InvalidRequest4"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    receiveWhatsAppWebhook: {
        parameters: {
            query?: never;
            header?: {
                /** @description `sha256=` and the HMAC-SHA256 of the body in hexadecimal */
                "x-hub-signature-256"?: components["parameters"]["x-hub-signature-256"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Plain"];
            400: components["responses"]["InvalidRequest5"];
            401: components["responses"]["InvalidSignature"];
            403: components["responses"]["CrossSite"];
            404: components["responses"]["NotFound"];
            default: components["responses"]["BodyTooLarge2"];
        };
    };
    chatUnderApi: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: components["parameters"]["idempotency-key"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "user_phone": "1111111111",
                 *       "user_message": "hello",
                 *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77"
                 *     }
                 */
                "application/json": components["schemas"]["ChatBody"];
            };
        };
        responses: {
            200: components["responses"]["PhoneAnswer"];
            400: components["responses"]["InvalidRequest2"];
            401: components["responses"]["InvalidToken2"];
            403: components["responses"]["NotTheAuthor"];
            404: components["responses"]["BotNotFound"];
            409: components["responses"]["IdempotencyMismatch"];
            default: components["responses"]["BodyTooLarge"];
        };
    };
    beginGuestChatUnderApi: {
        parameters: {
            query?: never;
            header?: {
                "x-api-key"?: components["parameters"]["x-api-key"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["GuestToken"];
            400: components["responses"]["InvalidRequest3"];
            401: components["responses"]["InvalidApiKey"];
            404: components["responses"]["BotNotFound2"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    verifyWhatsAppWebhookUnderApi: {
        parameters: {
            query?: {
                /** @description `subscribe`, or left out */
                "hub.mode"?: components["parameters"]["hub.mode"];
                /** @description META_VERIFY_TOKEN */
                "hub.verify_token"?: components["parameters"]["hub.verify_token"];
                "hub.challenge"?: components["parameters"]["hub.challenge"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Plain"];
            400: components["responses"]["InvalidRequest4"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    receiveWhatsAppWebhookUnderApi: {
        parameters: {
            query?: never;
            header?: {
                /** @description `sha256=` and the HMAC-SHA256 of the body in hexadecimal */
                "x-hub-signature-256"?: components["parameters"]["x-hub-signature-256"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Plain"];
            400: components["responses"]["InvalidRequest5"];
            401: components["responses"]["InvalidSignature"];
            403: components["responses"]["CrossSite"];
            404: components["responses"]["NotFound"];
            default: components["responses"]["BodyTooLarge2"];
        };
    };
    listModels: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "object": "list",
                     *       "data": [
                     *         {
                     *           "id": "assistant",
                     *           "object": "model",
                     *           "created": 1,
                     *           "owned_by": "text"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Models"];
                };
            };
            /** @description INVALID_REQUEST (400): Invalid request; NOT_FOR_GUESTS (403): Please sign up first */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["V1Error"];
                };
            };
            default: components["responses"]["TooManyRequests2"];
        };
    };
    getModel: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "assistant",
                     *       "object": "model",
                     *       "created": 1,
                     *       "owned_by": "text"
                     *     }
                     */
                    "application/json": components["schemas"]["Model"];
                };
            };
            /** @description INVALID_REQUEST (400): Invalid request; NOT_FOR_GUESTS (403): Please sign up first; BOT_NOT_FOUND (404): Bot not found */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["V1Error"];
                };
            };
            default: components["responses"]["TooManyRequests2"];
        };
    };
    createCompletion: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "model": "assistant",
                 *       "messages": [
                 *         {
                 *           "role": "user",
                 *           "content": "Hello!"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["NewCompletion"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "choices": [
                     *         {
                     *           "index": 0,
                     *           "message": {
                     *             "role": "assistant",
                     *             "content": "Hello!"
                     *           },
                     *           "finish_reason": "stop"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Completion"];
                    /** @example data: {"choices":[{"index":0,"delta":{"content":"Hello!"}}]} */
                    "text/event-stream": string;
                };
            };
            /** @description INVALID_REQUEST (400): Invalid request; MESSAGE_REFUSED (400): The content filter refuses this; BOT_CONTEXT_FULL (400): The message is too long for the model; INVALID_JSON (400): The body is not valid JSON; INVALID_TEXT (400): Text must not hold a NUL character or half of a surrogate pair; NOT_FOR_GUESTS (403): Please sign up first; BOT_NOT_FOUND (404): Bot not found */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["V1Error"];
                };
            };
            /** @description BODY_TOO_LARGE (413): The body is larger than 4 MiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REPLIES (429): Three replies to you are under way, please wait for one; TOO_MANY_STREAMS (429): Too many event streams are open, please close some; BUDGET_SPENT (429): The tokens for today are spent, please try again tomorrow; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; INTERNAL (500): Something went wrong on our side; BOT_FAILED (503): The bot cannot answer right now, please try again; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["V1Error"];
                };
            };
        };
    };
    register: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "id": "ann",
                 *       "passcode": "correct horse"
                 *     }
                 */
                "application/json": components["schemas"]["NewPasscode"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "msg": "User created"
                     *     }
                     */
                    "application/json": components["schemas"]["PasscodeMessage"];
                };
            };
            /** @description INVALID_REQUEST: Invalid request; INVALID_USERNAME: the rule that was broken; INVALID_PASSWORD: the rule that was broken; USERNAME_TAKEN: Username already exists; INVALID_INVITATION: This invitation is not valid any more, please ask for a new one; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 400,
                     *       "code": "INVALID_REQUEST",
                     *       "error": "Invalid request",
                     *       "msg": "Invalid request",
                     *       "details": [
                     *         {
                     *           "path": "text",
                     *           "message": "is missing"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["PasscodeError"];
                };
            };
            /** @description SIGNUP_CLOSED: Nobody can sign up here, please ask an administrator for an account; INVITATION_REQUIRED: Signing up needs an invitation, please ask an administrator for one; CROSS_SITE: Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "SIGNUP_CLOSED",
                     *       "error": "Nobody can sign up here, please ask an administrator for an account",
                     *       "msg": "Nobody can sign up here, please ask an administrator for an account"
                     *     }
                     */
                    "application/json": components["schemas"]["PasscodeError"];
                };
            };
            default: components["responses"]["BodyTooLarge3"];
        };
    };
    logInForToken: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "id": "ann",
                 *       "passcode": "correct horse"
                 *     }
                 */
                "application/json": components["schemas"]["Passcode"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "access_token": "eyJhbGciOiJIUzI1NiJ9.…"
                     *     }
                     */
                    "application/json": components["schemas"]["AccessToken"];
                };
            };
            /** @description INVALID_REQUEST: Invalid request; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 400,
                     *       "code": "INVALID_REQUEST",
                     *       "error": "Invalid request",
                     *       "msg": "Invalid request",
                     *       "details": [
                     *         {
                     *           "path": "text",
                     *           "message": "is missing"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["PasscodeError"];
                };
            };
            /** @description INVALID_CREDENTIALS: Invalid username or password */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 401,
                     *       "code": "INVALID_CREDENTIALS",
                     *       "error": "Invalid username or password",
                     *       "msg": "Invalid username or password"
                     *     }
                     */
                    "application/json": components["schemas"]["PasscodeError"];
                };
            };
            /** @description ACCOUNT_LOCKED: This account is locked, please ask an administrator; CROSS_SITE: Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "ACCOUNT_LOCKED",
                     *       "error": "This account is locked, please ask an administrator",
                     *       "msg": "This account is locked, please ask an administrator"
                     *     }
                     */
                    "application/json": components["schemas"]["PasscodeError"];
                };
            };
            default: components["responses"]["BodyTooLarge3"];
        };
    };
    signUp: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "username": "ann",
                 *       "password": "correct horse",
                 *       "name": "Ann Example",
                 *       "email": "ann@example.com"
                 *     }
                 */
                "application/json": components["schemas"]["NewAccount"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "message": "Login successful",
                     *       "user": {
                     *         "id": 1,
                     *         "username": "ann"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Welcome"];
                };
            };
            /** @description INVALID_REQUEST: Invalid request; INVALID_USERNAME: the rule that was broken; INVALID_PASSWORD: the rule that was broken; USERNAME_TAKEN: Username already exists; INVALID_INVITATION: This invitation is not valid any more, please ask for a new one; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 400,
                     *       "code": "INVALID_REQUEST",
                     *       "error": "Invalid request",
                     *       "details": [
                     *         {
                     *           "path": "text",
                     *           "message": "is missing"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            401: components["responses"]["InvalidToken"];
            /** @description SIGNUP_CLOSED: Nobody can sign up here, please ask an administrator for an account; INVITATION_REQUIRED: Signing up needs an invitation, please ask an administrator for one; CROSS_SITE: Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "SIGNUP_CLOSED",
                     *       "error": "Nobody can sign up here, please ask an administrator for an account"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    getSettings: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "signup": "open",
                     *       "passwords": false,
                     *       "oidc": null
                     *     }
                     */
                    "application/json": components["schemas"]["Settings"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    logIn: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "username": "ann",
                 *       "password": "correct horse"
                 *     }
                 */
                "application/json": components["schemas"]["Credentials"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "message": "Login successful",
                     *       "user": {
                     *         "id": 1,
                     *         "username": "ann"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Welcome"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            /** @description INVALID_CREDENTIALS: Invalid username or password */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 401,
                     *       "code": "INVALID_CREDENTIALS",
                     *       "error": "Invalid username or password"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description ACCOUNT_LOCKED: This account is locked, please ask an administrator; CROSS_SITE: Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "ACCOUNT_LOCKED",
                     *       "error": "This account is locked, please ask an administrator"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    logOutByGet: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["MessageOnly"];
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["CrossSite"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    logOut: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["MessageOnly"];
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["CrossSite"];
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    startOidc: {
        parameters: {
            query?: {
                return_to?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A redirect */
            302: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    finishOidc: {
        parameters: {
            query?: {
                state?: string;
                code?: string;
                iss?: string;
                error?: string;
                error_description?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A redirect */
            302: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    forgotPassword: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "email": "ann@example.com"
                 *     }
                 */
                "application/json": components["schemas"]["ForgotPasswordBody"];
            };
        };
        responses: {
            200: components["responses"]["MessageOnly"];
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["CrossSite"];
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    resetPassword: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "eyJhbGciOiJIUzI1NiJ9.…",
                 *       "password": "correct horse"
                 *     }
                 */
                "application/json": components["schemas"]["ResetPasswordBody"];
            };
        };
        responses: {
            200: components["responses"]["MessageOnly"];
            /** @description INVALID_REQUEST: Invalid request; INVALID_LINK: This link is not valid any more, please ask for a new one; INVALID_PASSWORD: the rule that was broken; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 400,
                     *       "code": "INVALID_REQUEST",
                     *       "error": "Invalid request",
                     *       "details": [
                     *         {
                     *           "path": "text",
                     *           "message": "is missing"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            403: components["responses"]["CrossSite"];
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    verifyEmail: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "eyJhbGciOiJIUzI1NiJ9.…"
                 *     }
                 */
                "application/json": components["schemas"]["VerifyEmailBody"];
            };
        };
        responses: {
            200: components["responses"]["MessageOnly"];
            /** @description INVALID_REQUEST: Invalid request; INVALID_LINK: This link is not valid any more, please ask for a new one; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 400,
                     *       "code": "INVALID_REQUEST",
                     *       "error": "Invalid request",
                     *       "details": [
                     *         {
                     *           "path": "text",
                     *           "message": "is missing"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            403: components["responses"]["CrossSite"];
            /** @description EMAIL_TAKEN: This e-mail address belongs to another account */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "EMAIL_TAKEN",
                     *       "error": "This e-mail address belongs to another account"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    resendVerification: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["MessageOnly"];
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests"];
            /** @description NOTHING_TO_VERIFY: This account has no e-mail address that waits to be verified */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "NOTHING_TO_VERIFY",
                     *       "error": "This account has no e-mail address that waits to be verified"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    getExternalUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                external_id: components["parameters"]["external_id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["ExternalUser"];
            400: components["responses"]["InvalidRequest"];
            401: components["responses"]["Unauthorized"];
            /** @description MISSING_SCOPE: This key may not do this */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "MISSING_SCOPE",
                     *       "error": "This key may not do this"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            404: components["responses"]["UserNotFound"];
            default: components["responses"]["TooManyRequests"];
        };
    };
    putExternalUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                external_id: components["parameters"]["external_id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Ann Example",
                 *       "email": "ann@example.com",
                 *       "picture": "https://example.com/ann.png",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["ExternalUserChanges"];
            };
        };
        responses: {
            200: components["responses"]["ExternalUser"];
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "external_id": "text",
                     *       "id": 1,
                     *       "name": "Ann Example",
                     *       "email": "ann@example.com",
                     *       "picture": "https://example.com/ann.png",
                     *       "metadata": {
                     *         "topic": "tea"
                     *       },
                     *       "is_locked": true,
                     *       "created_at": "2026-11-28T09:30:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["ExternalUser"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["MissingScope"];
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    deleteExternalUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                external_id: components["parameters"]["external_id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            401: components["responses"]["Unauthorized"];
            403: components["responses"]["MissingScope"];
            404: components["responses"]["UserNotFound"];
            409: components["responses"]["LastAdmin"];
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    mintToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                external_id: components["parameters"]["external_id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /** @example {} */
                "application/json": components["schemas"]["NewToken"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "token": "eyJhbGciOiJIUzI1NiJ9.…",
                     *       "expires_at": "2026-11-28T09:30:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["MintedToken"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            401: components["responses"]["Unauthorized"];
            /** @description MISSING_SCOPE: This key may not do this; ACCOUNT_LOCKED: This account is locked, please ask an administrator; CROSS_SITE: Requests from this site are not allowed. The settings PUBLIC_URL and CORS_ORIGINS list the sites that are */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "MISSING_SCOPE",
                     *       "error": "This key may not do this"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            404: components["responses"]["UserNotFound"];
            default: components["responses"]["BodyTooLarge4"];
        };
    };
    listMessages: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page before the message with this id */
                before?: components["schemas"]["Id"];
                /** @description Everything that changed after this rev, deletions too, in the order of the changes */
                after?: components["schemas"]["Rev"];
            };
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "rev": 1,
                     *         "sender": "user",
                     *         "username": "ann",
                     *         "text": "Hello!",
                     *         "status": "complete",
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "metadata": {
                     *           "topic": "tea"
                     *         }
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Message"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    sendMessage: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: components["parameters"]["idempotency-key"];
            };
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        /** @description It needs `text` or `parts` */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "text": "Hello!",
                 *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["NewMessage"];
            };
        };
        responses: {
            200: components["responses"]["EventStream"];
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "rev": 1,
                     *         "sender": "user",
                     *         "username": "ann",
                     *         "text": "Hello!",
                     *         "status": "complete",
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "metadata": {
                     *           "topic": "tea"
                     *         }
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Message"][];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            /** @description NOT_A_SERVER: Only a server key, without X-Act-As, may write as a bot or an agent */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "NOT_A_SERVER",
                     *       "error": "Only a server key, without X-Act-As, may write as a bot or an agent"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            404: components["responses"]["ConversationNotFound"];
            /** @description IDEMPOTENCY_MISMATCH: This client id was used for another message; BOT_BUSY: The bot still answers, please wait */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "IDEMPOTENCY_MISMATCH",
                     *       "error": "This client id was used for another message"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description BODY_TOO_LARGE (413): The body is larger than 1.5 MiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REPLIES (429): Three replies to you are under way, please wait for one; BUDGET_SPENT (429): The tokens for today are spent, please try again tomorrow; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; TOO_MANY_STREAMS (429): Too many event streams are open, please close some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    listConversations: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description From the Link header of the page before */
                cursor?: string;
                /** @description How many of the newest messages come along */
                messages?: components["parameters"]["messages"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "name": "Plans",
                     *         "is_finished": false,
                     *         "last_updated": "2026-11-28T09:30:00.000Z",
                     *         "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                     *         "metadata": {
                     *           "topic": "tea"
                     *         },
                     *         "unread": 1,
                     *         "messages": [
                     *           {
                     *             "id": 1,
                     *             "rev": 1,
                     *             "sender": "user",
                     *             "username": "ann",
                     *             "text": "Hello!",
                     *             "status": "complete",
                     *             "created_at": "2026-11-28T09:30:00.000Z",
                     *             "metadata": {
                     *               "topic": "tea"
                     *             }
                     *           }
                     *         ]
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Conversation"][];
                };
            };
            400: components["responses"]["InvalidRequest6"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    createConversation: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Plans",
                 *       "bots": [
                 *         "assistant"
                 *       ],
                 *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["NewConversation"];
            };
        };
        responses: {
            200: components["responses"]["ConversationTitle"];
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "name": "Plans",
                     *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                     *       "metadata": {
                     *         "topic": "tea"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ConversationTitle"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["BotNotFound2"];
            /** @description BOT_NOT_READY: This bot is not set up yet */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "BOT_NOT_READY",
                     *       "error": "This bot is not set up yet"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    getConversation: {
        parameters: {
            query?: {
                /** @description How many of the newest messages come along */
                messages?: components["parameters"]["messages"];
            };
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "name": "Plans",
                     *       "is_finished": false,
                     *       "last_updated": "2026-11-28T09:30:00.000Z",
                     *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                     *       "metadata": {
                     *         "topic": "tea"
                     *       },
                     *       "unread": 1,
                     *       "messages": [
                     *         {
                     *           "id": 1,
                     *           "rev": 1,
                     *           "sender": "user",
                     *           "username": "ann",
                     *           "text": "Hello!",
                     *           "status": "complete",
                     *           "created_at": "2026-11-28T09:30:00.000Z",
                     *           "metadata": {
                     *             "topic": "tea"
                     *           }
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Conversation"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    renameConversation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Plans",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["ConversationName"];
            };
        };
        responses: {
            200: components["responses"]["ConversationTitle"];
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    deleteConversation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            /** @description NOT_THE_OWNER: Only the owner of the conversation may do this */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "NOT_THE_OWNER",
                     *       "error": "Only the owner of the conversation may do this"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    updateConversation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Plans",
                 *       "when_busy": "queue",
                 *       "metadata": {
                 *         "topic": "tea"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["ConversationChanges"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "name": "Plans",
                     *       "when_busy": "queue",
                     *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                     *       "metadata": {
                     *         "topic": "tea"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ConversationSettings"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    getMessage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
                message: components["parameters"]["message"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Message"];
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["ConversationNotFound3"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    editMessage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
                message: components["parameters"]["message"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "text": "Hello!"
                 *     }
                 */
                "application/json": components["schemas"]["EditedMessage"];
            };
        };
        responses: {
            200: components["responses"]["Message"];
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotTheAuthor2"];
            404: components["responses"]["ConversationNotFound3"];
            default: components["responses"]["BodyTooLarge6"];
        };
    };
    deleteMessage: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
                message: components["parameters"]["message"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotTheAuthor2"];
            404: components["responses"]["ConversationNotFound3"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    streamEvents: {
        parameters: {
            query?: {
                after?: components["schemas"]["Rev"];
            };
            header?: {
                "last-event-id"?: components["schemas"]["Rev"];
            };
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["EventStream"];
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["TooManyRequests4"];
        };
    };
    stopReplies: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    regenerateReply: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
                message: components["parameters"]["message"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "rev": 1,
                     *       "sender": "user",
                     *       "username": "ann",
                     *       "text": "Hello!",
                     *       "status": "complete",
                     *       "created_at": "2026-11-28T09:30:00.000Z",
                     *       "metadata": {
                     *         "topic": "tea"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Message"];
                    /**
                     * @example event: delta
                     *     data: {"id":2,"offset":0,"text":"Hello"}
                     */
                    "text/event-stream": string;
                };
            };
            400: components["responses"]["InvalidRequest5"];
            /** @description MESSAGE_NOT_FOUND: Message not found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 404,
                     *       "code": "MESSAGE_NOT_FOUND",
                     *       "error": "Message not found"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description BOT_BUSY: The bot still answers, please wait; NOT_THE_LAST_REPLY: Only the last reply of a bot that takes its time can be asked for again */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "BOT_BUSY",
                     *       "error": "The bot still answers, please wait"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description BODY_TOO_LARGE (413): The body is larger than 64 KiB; UNSUPPORTED_MEDIA_TYPE (415): Content-Type must be application/json; TOO_MANY_REPLIES (429): Three replies to you are under way, please wait for one; BUDGET_SPENT (429): The tokens for today are spent, please try again tomorrow; TOO_MANY_REQUESTS (429): Too many requests, please wait a little; TOO_MANY_AT_ONCE (429): Too many of your requests are being worked on, please wait for some; TOO_MANY_STREAMS (429): Too many event streams are open, please close some; INTERNAL (500): Something went wrong on our side; UNAVAILABLE (503): The service is not available right now, please try again; SERVER_BUSY (503): The server has too much to do right now, please try again */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Error"];
                };
            };
        };
    };
    streamNews: {
        parameters: {
            query?: {
                after?: string;
            };
            header?: {
                "last-event-id"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["EventStream"];
            400: components["responses"]["InvalidRequest"];
            default: components["responses"]["TooManyRequests4"];
        };
    };
    markRead: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "rev": 1
                 *     }
                 */
                "application/json": components["schemas"]["Read"];
            };
        };
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    stopThread: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id2"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    runAgent: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "threadId": "text",
                 *       "runId": "text",
                 *       "messages": [
                 *         {
                 *           "id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                 *           "role": "user",
                 *           "content": "Hello!"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["RunAgentInput"];
            };
        };
        responses: {
            200: components["responses"]["EventStream2"];
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound"];
            409: components["responses"]["BotNotReady"];
            default: components["responses"]["BodyTooLarge7"];
        };
    };
    runBot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                bot: components["schemas"]["BotHandle"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "threadId": "text",
                 *       "runId": "text",
                 *       "messages": [
                 *         {
                 *           "id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77",
                 *           "role": "user",
                 *           "content": "Hello!"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["RunAgentInput"];
            };
        };
        responses: {
            200: components["responses"]["EventStream2"];
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound"];
            409: components["responses"]["BotNotReady"];
            default: components["responses"]["BodyTooLarge7"];
        };
    };
    listUiMessages: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit2"];
                before?: components["parameters"]["before"];
            };
            header?: never;
            path: {
                id: components["parameters"]["id2"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["UiMessage"];
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    resumeUiStream: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id2"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["EventStream3"];
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest7"];
            401: components["responses"]["Unauthorized2"];
            404: components["responses"]["ConversationNotFound4"];
            default: components["responses"]["TooManyRequests5"];
        };
    };
    stopUiChat: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id2"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    listUiMessagesUnderApi: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit2"];
                before?: components["parameters"]["before"];
            };
            header?: never;
            path: {
                id: components["parameters"]["id2"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["UiMessage"];
            400: components["responses"]["InvalidRequest"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    resumeUiStreamUnderApi: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id2"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["EventStream3"];
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest7"];
            401: components["responses"]["Unauthorized2"];
            404: components["responses"]["ConversationNotFound4"];
            default: components["responses"]["TooManyRequests5"];
        };
    };
    stopUiChatUnderApi: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id2"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    getMe: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Profile"];
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    deleteMe: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "password": "correct horse"
                 *     }
                 */
                "application/json": components["schemas"]["Password"];
            };
        };
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            /** @description WRONG_PASSWORD: The password is wrong */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "WRONG_PASSWORD",
                     *       "error": "The password is wrong"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            409: components["responses"]["LastAdmin"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    updateMe: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Ann Example",
                 *       "phone_number": "+14155550123",
                 *       "email": "ann@example.com",
                 *       "username": "ann",
                 *       "password": "correct horse",
                 *       "current_password": "correct horse"
                 *     }
                 */
                "application/json": components["schemas"]["ProfileChanges"];
            };
        };
        responses: {
            200: components["responses"]["Profile"];
            /** @description INVALID_REQUEST: Invalid request; INVALID_PASSWORD: the rule that was broken; INVALID_USERNAME: the rule that was broken; PASSWORD_REQUIRED: This change needs your current password; USERNAME_TAKEN: Username already exists; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 400,
                     *       "code": "INVALID_REQUEST",
                     *       "error": "Invalid request",
                     *       "details": [
                     *         {
                     *           "path": "text",
                     *           "message": "is missing"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description UNAUTHORIZED: Please log in; INVALID_CREDENTIALS: Invalid username or password */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 401,
                     *       "code": "UNAUTHORIZED",
                     *       "error": "Please log in"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description NOT_FOR_GUESTS: Please sign up first; WRONG_PASSWORD: The password is wrong */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "NOT_FOR_GUESTS",
                     *       "error": "Please sign up first"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    listSessions: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page before the session with this id */
                before?: components["schemas"]["Id"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "kind": "cookie",
                     *         "user_agent": "Mozilla/5.0",
                     *         "ip": "203.0.113.7",
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "last_used_at": "2026-11-28T09:30:00.000Z",
                     *         "expires_at": "2026-11-28T09:30:00.000Z",
                     *         "is_current": false
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Session"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    endSession: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests"];
            /** @description SESSION_NOT_FOUND: Session not found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 404,
                     *       "code": "SESSION_NOT_FOUND",
                     *       "error": "Session not found"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    listMyKeys: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page before the key with this id */
                before?: components["parameters"]["before2"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "name": "Backup script",
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "last_used_at": "2026-11-28T09:30:00.000Z",
                     *         "expires_at": "2026-11-28T09:30:00.000Z"
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["PersonalKey"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    createMyKey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Backup script"
                 *     }
                 */
                "application/json": components["schemas"]["NewPersonalKey"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "name": "Backup script",
                     *       "created_at": "2026-11-28T09:30:00.000Z",
                     *       "last_used_at": "2026-11-28T09:30:00.000Z",
                     *       "expires_at": "2026-11-28T09:30:00.000Z",
                     *       "key": "pk_…"
                     *     }
                     */
                    "application/json": components["schemas"]["MadePersonalKey"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            /** @description NOT_FOR_GUESTS: Please sign up first; MISSING_SCOPE: This key may not do this */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "NOT_FOR_GUESTS",
                     *       "error": "Please sign up first"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    revokeMyKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests"];
            404: components["responses"]["KeyNotFound"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    getMyUsage: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The days before this one */
                before?: components["parameters"]["before3"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "day": "2026-11-28",
                     *         "bot": "assistant",
                     *         "replies": 1,
                     *         "prompt_tokens": 1,
                     *         "completion_tokens": 1
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["DayOfMyUsage"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    exportMyData: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /** @example {} */
                    "application/json": components["schemas"]["Export"];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    listMembers: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page that begins after this id */
                after?: components["parameters"]["after"];
            };
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "username": "ann",
                     *         "is_owner": false,
                     *         "joined_at": "2026-11-28T09:30:00.000Z",
                     *         "read_rev": 1
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Member"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    addMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "username": "ann"
                 *     }
                 */
                "application/json": components["schemas"]["UserName"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "username": "ann"
                     *     }
                     */
                    "application/json": components["schemas"]["User"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests2"];
            404: components["responses"]["ConversationNotFound5"];
            /** @description CONVERSATION_FULL: A conversation has at most 100 users and 8 bots */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "CONVERSATION_FULL",
                     *       "error": "A conversation has at most 100 users and 8 bots"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    removeMember: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
                user: components["schemas"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests2"];
            404: components["responses"]["ConversationNotFound5"];
            /** @description LAST_MEMBER: You are the only one here: delete the conversation instead */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "LAST_MEMBER",
                     *       "error": "You are the only one here: delete the conversation instead"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    listConversationBots: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page that begins after this id */
                after?: components["parameters"]["after"];
            };
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["BotTitle"];
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests"];
            404: components["responses"]["ConversationNotFound2"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    addConversationBot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "assistant"
                 *     }
                 */
                "application/json": components["schemas"]["BotName"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "name": "assistant",
                     *       "description": "Answers questions about orders",
                     *       "streaming": false,
                     *       "is_default": false,
                     *       "is_ready": false
                     *     }
                     */
                    "application/json": components["schemas"]["BotTitle"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests2"];
            404: components["responses"]["ConversationNotFound"];
            /** @description BOT_NOT_READY: This bot is not set up yet; CONVERSATION_FULL: A conversation has at most 100 users and 8 bots */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "BOT_NOT_READY",
                     *       "error": "This bot is not set up yet"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    removeConversationBot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
                bot: components["schemas"]["Id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests2"];
            404: components["responses"]["ConversationNotFound"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    listBots: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page that begins after this id */
                after?: components["parameters"]["after"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["BotTitle"];
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    listUsers: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page before the user with this id */
                before?: components["schemas"]["Id"];
                /** @description Part of a username, name or e-mail address, in any case */
                q?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "username": "ann",
                     *         "name": "Ann Example",
                     *         "email": "ann@example.com",
                     *         "is_email_verified": false,
                     *         "phone_number": "+14155550123",
                     *         "origin": "web",
                     *         "role": "user",
                     *         "is_guest": false,
                     *         "is_locked": true,
                     *         "locked_at": null,
                     *         "budget": null,
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "last_login_at": null
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["AdminUser"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests3"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    createUser: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "username": "ann",
                 *       "password": "correct horse",
                 *       "name": "Ann Example",
                 *       "email": "ann@example.com"
                 *     }
                 */
                "application/json": components["schemas"]["NewUser"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "username": "ann",
                     *       "password": "correct horse"
                     *     }
                     */
                    "application/json": components["schemas"]["MadeUser"];
                };
            };
            /** @description INVALID_REQUEST: Invalid request; INVALID_PASSWORD: the rule that was broken; USERNAME_TAKEN: Username already exists; INVALID_JSON: The body is not valid JSON; INVALID_TEXT: Text must not hold a NUL character or half of a surrogate pair */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 400,
                     *       "code": "INVALID_REQUEST",
                     *       "error": "Invalid request",
                     *       "details": [
                     *         {
                     *           "path": "text",
                     *           "message": "is missing"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            403: components["responses"]["NotForGuests3"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    getUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["OneUser"];
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests3"];
            404: components["responses"]["UserNotFound"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    deleteUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            404: components["responses"]["UserNotFound"];
            409: components["responses"]["LastAdmin"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    updateUser: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "is_locked": true
                 *     }
                 */
                "application/json": components["schemas"]["UserChanges"];
            };
        };
        responses: {
            200: components["responses"]["OneUser"];
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            404: components["responses"]["UserNotFound"];
            409: components["responses"]["LastAdmin"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    endUserSessions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            404: components["responses"]["UserNotFound"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    listInvitations: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page before the invitation with this id */
                before?: components["schemas"]["Id"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "created_by": null,
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "expires_at": "2026-11-28T09:30:00.000Z",
                     *         "used_at": null,
                     *         "used_by": null
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Invitation"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests3"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    createInvitation: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /** @example {} */
                "application/json": components["schemas"]["NewInvitation"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "link": "https://chat.example.com/#invitation=…",
                     *       "token": "eyJhbGciOiJIUzI1NiJ9.…",
                     *       "expires_at": "2026-11-28T09:30:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["MadeInvitation"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            /** @description NOT_BY_INVITATION: Sign-up is closed, so that nobody could use an invitation */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "NOT_BY_INVITATION",
                     *       "error": "Sign-up is closed, so that nobody could use an invitation"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    revokeInvitation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            /** @description INVITATION_NOT_FOUND: Invitation not found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 404,
                     *       "code": "INVITATION_NOT_FOUND",
                     *       "error": "Invitation not found"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    listAdminLog: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page before the entry with this id */
                before?: components["schemas"]["Id"];
                /** @description What this admin did */
                admin?: components["schemas"]["Id"];
                /** @description What was done to this user */
                user?: components["schemas"]["Id"];
                action?: "admin.create" | "admin.remove" | "bot.create" | "bot.change" | "bot.delete" | "delivery.retry" | "invitation.create" | "invitation.revoke" | "key.act" | "key.create" | "key.revoke" | "message.post" | "template.send" | "user.change" | "user.create" | "user.lock" | "user.unlock" | "user.budget" | "user.end_sessions" | "user.delete" | "user.token";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "admin_id": 1,
                     *         "admin_name": "ann",
                     *         "action": "user.lock",
                     *         "user_id": null,
                     *         "details": {}
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["AdminLogEntry"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests3"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    listKeys: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page before the key with this id */
                before?: components["parameters"]["before2"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "name": "Web shop",
                     *         "scopes": [
                     *           "users",
                     *           "act"
                     *         ],
                     *         "created_by": null,
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "expires_at": null,
                     *         "last_used_at": null,
                     *         "revoked_at": null
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Key"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests3"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    createKey: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Web shop",
                 *       "scopes": [
                 *         "users",
                 *         "act"
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["NewKey"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "name": "Web shop",
                     *       "scopes": [
                     *         "users",
                     *         "act"
                     *       ],
                     *       "created_by": null,
                     *       "created_at": "2026-11-28T09:30:00.000Z",
                     *       "expires_at": null,
                     *       "last_used_at": null,
                     *       "revoked_at": null,
                     *       "key": "pk_…"
                     *     }
                     */
                    "application/json": components["schemas"]["MadeKey"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            /** @description NOT_FOR_GUESTS: Please sign up first; NOT_AN_ADMIN: Only an admin may do this; MISSING_SCOPE: This key may not do this */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 403,
                     *       "code": "NOT_FOR_GUESTS",
                     *       "error": "Please sign up first"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    revokeKey: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            404: components["responses"]["KeyNotFound"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    getUsage: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description From the Link header of the page before */
                cursor?: string;
                /** @description Only this user, by id */
                user?: components["schemas"]["Id"];
                /** @description Only this bot, by name */
                bot?: string;
                /** @description Only this model */
                model?: string;
                /** @description The days from this one on */
                from?: string;
                /** @description The days before this one */
                before?: components["parameters"]["before3"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "day": "2026-11-28",
                     *         "user_id": null,
                     *         "username": "ann",
                     *         "bot": "assistant",
                     *         "model": "gpt-4.1-mini",
                     *         "replies": 1,
                     *         "estimated": 1,
                     *         "prompt_tokens": 1,
                     *         "completion_tokens": 1
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["DayOfUsage"][];
                };
            };
            400: components["responses"]["InvalidRequest6"];
            403: components["responses"]["NotForGuests3"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    listBotSettings: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page that begins after this id */
                after?: components["parameters"]["after"];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "name": "assistant",
                     *         "engine": "openai",
                     *         "settings": {
                     *           "model": "gpt-4.1-mini",
                     *           "prompt": "Answer in one sentence."
                     *         }
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Bot"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests3"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    createBot: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "helper",
                 *       "engine": "openai",
                 *       "settings": {
                 *         "model": "gpt-4.1-mini",
                 *         "prompt": "Answer in one sentence."
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["NewBot"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "name": "assistant",
                     *       "engine": "openai",
                     *       "settings": {
                     *         "model": "gpt-4.1-mini",
                     *         "prompt": "Answer in one sentence."
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Bot"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            409: components["responses"]["BotNameTaken"];
            default: components["responses"]["BodyTooLarge6"];
        };
    };
    deleteBot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Done; the answer has no body */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            404: components["responses"]["BotNotFound2"];
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    updateBot: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "assistant",
                 *       "settings": {
                 *         "model": "gpt-4.1-mini",
                 *         "prompt": "Answer in one sentence."
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["BotChanges"];
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "name": "assistant",
                     *       "engine": "openai",
                     *       "settings": {
                     *         "model": "gpt-4.1-mini",
                     *         "prompt": "Answer in one sentence."
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Bot"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            404: components["responses"]["BotNotFound2"];
            409: components["responses"]["BotNameTaken"];
            default: components["responses"]["BodyTooLarge6"];
        };
    };
    listDeliveries: {
        parameters: {
            query?: {
                limit?: components["parameters"]["limit"];
                /** @description The page before the delivery with this id */
                before?: components["schemas"]["Id"];
                contact?: string;
                state?: "queued" | "sent" | "delivered" | "read" | "failed" | "window_closed";
                /** @description Only deliveries created at this time or later, such as 2026-11-21T10:00:00Z */
                since?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": 1,
                     *         "conversation_id": 1,
                     *         "message_id": 1,
                     *         "part": 1,
                     *         "contact": "14155550123",
                     *         "whatsapp_id": "wamid.HBgLMTQxNTU1NTAxMjMVAgARGBI",
                     *         "state": "queued",
                     *         "error_code": null,
                     *         "error": null,
                     *         "attempts": 1,
                     *         "created_at": "2026-11-28T09:30:00.000Z",
                     *         "updated_at": "2026-11-28T09:30:00.000Z",
                     *         "held_since": null
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Delivery"][];
                };
            };
            400: components["responses"]["InvalidRequest"];
            403: components["responses"]["NotForGuests3"];
            default: components["responses"]["TooManyRequests3"];
        };
    };
    retryDelivery: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: components["parameters"]["id"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "conversation_id": 1,
                     *       "message_id": 1,
                     *       "part": 1,
                     *       "contact": "14155550123",
                     *       "whatsapp_id": "wamid.HBgLMTQxNTU1NTAxMjMVAgARGBI",
                     *       "state": "queued",
                     *       "error_code": null,
                     *       "error": null,
                     *       "attempts": 1,
                     *       "created_at": "2026-11-28T09:30:00.000Z",
                     *       "updated_at": "2026-11-28T09:30:00.000Z",
                     *       "held_since": null
                     *     }
                     */
                    "application/json": components["schemas"]["Delivery"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            /** @description DELIVERY_NOT_FOUND: Delivery not found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 404,
                     *       "code": "DELIVERY_NOT_FOUND",
                     *       "error": "Delivery not found"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            /** @description NOT_TO_RETRY: Only what failed, or came after the 24-hour window, is sent again */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "NOT_TO_RETRY",
                     *       "error": "Only what failed, or came after the 24-hour window, is sent again"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge5"];
        };
    };
    sendWhatsAppTemplate: {
        parameters: {
            query?: never;
            header?: {
                "idempotency-key"?: components["parameters"]["idempotency-key"];
            };
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "to": "14155550123",
                 *       "language": "en_US",
                 *       "text": "Hello!",
                 *       "client_id": "b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77"
                 *     }
                 */
                "application/json": components["schemas"]["NewTemplate"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": 1,
                     *       "conversation_id": 1,
                     *       "message_id": 1,
                     *       "part": 1,
                     *       "contact": "14155550123",
                     *       "whatsapp_id": "wamid.HBgLMTQxNTU1NTAxMjMVAgARGBI",
                     *       "state": "queued",
                     *       "error_code": null,
                     *       "error": null,
                     *       "attempts": 1,
                     *       "created_at": "2026-11-28T09:30:00.000Z",
                     *       "updated_at": "2026-11-28T09:30:00.000Z",
                     *       "held_since": null
                     *     }
                     */
                    "application/json": components["schemas"]["Delivery"];
                };
            };
            400: components["responses"]["InvalidRequest5"];
            403: components["responses"]["NotForGuests3"];
            404: components["responses"]["BotNotFound2"];
            /** @description IDEMPOTENCY_MISMATCH: This client id was used for another message */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "statusCode": 409,
                     *       "code": "IDEMPOTENCY_MISMATCH",
                     *       "error": "This client id was used for another message"
                     *     }
                     */
                    "application/json": components["schemas"]["Error"];
                };
            };
            default: components["responses"]["BodyTooLarge6"];
        };
    };
}
