"""The print queue: files, printers, jobs, attempts, commands and events. It decides who prints what, and when."""
