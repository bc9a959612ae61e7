"""The print queue: files, printers, jobs, attempts, commands and events. Decides who prints what; touches no printer."""
