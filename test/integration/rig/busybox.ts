/** A container image of nothing but busybox, made here: no registry is needed. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const BUSYBOX_IMAGE = 'localhost/busybox:latest'

function must(file: string, args: readonly string[]): string {
  const done = spawnSync(file, args, { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.stderr || done.error}`)
  return done.stdout
}

/** Writes an archive that `podman load` and `ctr images import` understand, and returns its path. */
export function makeBusyboxImage(dir: string): string {
  const root = join(dir, 'busybox-rootfs')
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'root']) {
    mkdirSync(join(root, name), { recursive: true })
  }
  const busybox = must('sh', ['-c', 'command -v busybox']).trim()
  copyFileSync(busybox, join(root, 'bin/busybox'))
  for (const applet of must(busybox, ['--list']).trim().split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet))
  }
  const image = join(dir, 'busybox-image')
  mkdirSync(image)
  must('tar', ['-C', root, '-cf', join(image, 'layer.tar'), '.'])
  const digest = createHash('sha256')
    .update(readFileSync(join(image, 'layer.tar')))
    .digest('hex')
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Cmd: ['sleep', '100000'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
  }
  const manifest = [{ Config: 'config.json', RepoTags: [BUSYBOX_IMAGE], Layers: ['layer.tar'] }]
  writeFileSync(join(image, 'config.json'), JSON.stringify(config))
  writeFileSync(join(image, 'manifest.json'), JSON.stringify(manifest))
  const archive = join(dir, 'busybox.tar')
  must('tar', ['-C', image, '-cf', archive, 'manifest.json', 'config.json', 'layer.tar'])
  return archive
}
