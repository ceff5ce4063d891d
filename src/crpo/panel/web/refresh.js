// The dashboard follows along; without this file, reload the page.
"use strict";
setInterval(() => { if (!document.hidden) location.reload(); }, 10000);
